import { readdirSync, readFileSync } from "node:fs";
import { type Device, fromArray, type Tensor } from "@graft/tensor";
import { bytesSource, openCheckpoint, openSafetensors } from "../../src/checkpoint/index.ts";
import { folderOpener } from "../../src/checkpoint/node.ts";
import type { CausalLM } from "../../src/models/causalLM.ts";
import { LlamaForCausalLM } from "../../src/models/llama.ts";
import { type LoadOptions, loadFromHf } from "../../src/models/load.ts";

export const goldenFolder = new URL("../../../../tools/golden/data/", import.meta.url);

/** A tensor as PyTorch computed it. */
export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array | Int32Array;
}

/** What transformers says of one model. */
export interface Golden {
  readonly name: string;
  readonly loss: number;
  /** Distance of transformers' float32 run to its float64 run. */
  readonly noise: { readonly logits: number; readonly loss: number; readonly gradients: number };
  readonly config: Record<string, unknown>;
  tensor(name: string): GoldenTensor;
  /** `grad.` left out. */
  readonly gradients: ReadonlyMap<string, GoldenTensor>;
}

/** The folders under `models`. */
export const modelNames: readonly string[] = readdirSync(new URL("models/", goldenFolder), {
  withFileTypes: true,
})
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)
  .sort();

export async function readTensors(path: string): Promise<Map<string, GoldenTensor>> {
  const file = await openSafetensors(bytesSource(readFileSync(new URL(path, goldenFolder)), path));
  const tensors = new Map<string, GoldenTensor>();
  for (const [name, { shape, dtype }] of file.tensors) {
    const { buffer } = new Uint8Array(await file.readBytes(name)); // a copy
    tensors.set(name, { shape, values: dtype === "I32" ? new Int32Array(buffer) : new Float32Array(buffer) });
  }
  return tensors;
}

export function readJson(path: string): Record<string, unknown> {
  return JSON.parse(readFileSync(new URL(path, goldenFolder), "utf8"));
}

export async function readGolden(name: string): Promise<Golden> {
  const { loss, float32Noise } = readJson(`models/${name}.json`);
  const tensors = await readTensors(`models/${name}.expect.safetensors`);
  const gradients = new Map<string, GoldenTensor>();
  for (const [key, tensor] of tensors)
    if (key.startsWith("grad.")) gradients.set(key.slice("grad.".length), tensor);
  return {
    name,
    loss: Number(loss),
    noise: float32Noise as Golden["noise"],
    config: readJson(`models/${name}/config.json`),
    tensor: (key) => known(tensors.get(key), `${name}: ${key}`),
    gradients,
  };
}

type ModelOptions = Partial<LoadOptions> & { change?: Record<string, unknown> };

/** A model of the Llama family, for tests of its parts. */
export async function loadLlama(
  name: string,
  device: Device,
  options?: ModelOptions,
): Promise<LlamaForCausalLM> {
  const model = await loadModel(name, device, options);
  if (model instanceof LlamaForCausalLM) return model;
  throw new Error(`${name} is no Llama`);
}

/** A model of `models`, loaded with a configuration that may be changed. */
export async function loadModel(
  name: string,
  device: Device,
  { change = {}, ...options }: ModelOptions = {},
): Promise<CausalLM> {
  const folder = new URL(`models/${name}/`, goldenFolder).pathname;
  const file = await openCheckpoint(folderOpener(folder));
  try {
    return await loadFromHf({ ...readJson(`models/${name}/config.json`), ...change }, file, {
      device,
      ...options,
    });
  } finally {
    await file.close();
  }
}

/** `input_ids` on the device, `[batch, seq]`. */
export function idsOf(golden: { tensor(name: string): GoldenTensor }, device: Device): Tensor {
  const { values, shape } = golden.tensor("input_ids");
  return fromArray(device, values, shape, { dtype: "i32" });
}

/** Targets for the logits: the label after each position, and −100 (no loss) after the last. */
export function targetsOf(golden: Golden, device: Device): Tensor {
  const { values, shape } = golden.tensor("labels");
  const [, seq] = shape;
  const targets = Int32Array.from(values, (_, i) => (i % seq === seq - 1 ? -100 : values[i + 1]));
  return fromArray(device, targets, shape, { dtype: "i32" });
}

/** Largest difference over the largest expected value. */
export function distance(got: ArrayLike<number>, want: ArrayLike<number>): number {
  if (got.length !== want.length) throw new Error(`expected ${want.length} values, got ${got.length}`);
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < want.length; i++) {
    if (!Number.isFinite(got[i])) return Number.POSITIVE_INFINITY;
    difference = Math.max(difference, Math.abs(got[i] - want[i]));
    largest = Math.max(largest, Math.abs(want[i]));
  }
  return difference / largest;
}

export function known<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`there is no ${what}`);
  return value;
}
