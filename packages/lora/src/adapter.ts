import { isLinearLike, type Module } from "@graft/nn";
import {
  type ByteSource,
  type Opener,
  openCheckpoint,
  type SafetensorsFile,
  serializeSafetensors,
} from "@graft/nn/checkpoint";
import { bf16ToF32, type Device, f16ToF32, type Generator, show, type Tensor } from "@graft/tensor";
import { type LoraConfig, type TaskType, taskTypes } from "./config.ts";
import { display, LoraError, listed, quote } from "./errors.ts";
import { givenFactors } from "./init.ts";
import { attachAdapter, checkFree, type InjectReport, withNames } from "./inject.ts";
import { layersOf } from "./merge.ts";
import { fromPeftConfig, type OnWarning, toPeftConfig } from "./peftConfig.ts";
import { checkKnown } from "./switch.ts";
import { findTargets, type Target } from "./targets.ts";

export const configFile = "adapter_config.json";
export const weightsFile = "adapter_model.safetensors";

/** PEFT wraps the model twice, and says so in every key. */
const prefix = "base_model.model.";
const configLimit = 1024 * 1024;

function keysOf(path: string): readonly [string, string] {
  return [`${prefix}${path}.lora_A.weight`, `${prefix}${path}.lora_B.weight`];
}

/**
 * The factors of an adapter under PEFT's keys, for example
 * `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`; as they are, not copies.
 */
export function adapterTensors(model: Module, adapterName = "default"): Map<string, Tensor> {
  const layers = layersOf(model, "adapterTensors");
  checkKnown(model, adapterName, "adapterTensors");
  const tensors = new Map<string, Tensor>();
  for (const [path, layer] of layers) {
    const adapter = layer.adapters.get(adapterName);
    if (adapter === undefined) continue;
    const [keyA, keyB] = keysOf(path);
    tensors.set(keyA, adapter.loraA).set(keyB, adapter.loraB);
  }
  return tensors;
}

/** The configuration of an adapter on a model. */
export function adapterConfig(model: Module, adapterName = "default"): LoraConfig {
  checkKnown(model, adapterName, "adapterConfig");
  for (const [, layer] of layersOf(model, "adapterConfig")) {
    const adapter = layer.adapters.get(adapterName);
    if (adapter !== undefined) return adapter.config;
  }
  throw new Error("internal: a known adapter is on no layer. Please report this with the stack below.");
}

export interface SaveOptions {
  /** Default "default". PEFT keeps any other name in a subfolder of that name. */
  readonly adapterName?: string;
  /** What the file says of itself in place of what the configuration says. */
  readonly taskType?: TaskType;
  readonly baseModelNameOrPath?: string;
  readonly revision?: string;
}

/**
 * An adapter as PEFT's two files: `adapter_config.json` (text) and `adapter_model.safetensors` (bytes, float32).
 * The same adapter gives the same bytes.
 */
export async function saveAdapter(
  model: Module,
  { adapterName = "default", taskType, baseModelNameOrPath, revision }: SaveOptions = {},
): Promise<Map<string, string | Uint8Array>> {
  const tensors = adapterTensors(model, adapterName);
  const own = adapterConfig(model, adapterName);
  if (taskType !== undefined && !taskTypes.includes(taskType))
    throw new LoraError(
      "saveAdapter",
      `taskType must be one of ${taskTypes.join(", ")}, got ${display(taskType)}.`,
    );
  const config: LoraConfig = {
    ...own,
    taskType: taskType ?? own.taskType,
    baseModelNameOrPath: baseModelNameOrPath ?? own.baseModelNameOrPath,
    revision: revision ?? own.revision,
  };
  const adapted = layersOf(model, "saveAdapter").filter(([, layer]) => layer.adapters.has(adapterName));
  const fanInFanOut = adapted.some(([, layer]) => layer.fanInFanOut);
  const stored = [];
  for (const [name, tensor] of tensors) {
    const values = await tensor.toArray();
    const wide = values instanceof Float64Array;
    const floats = wide || values instanceof Float32Array ? values : Float32Array.from(values);
    const bytes = new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
    stored.push({ name, dtype: wide ? "F64" : "F32", shape: tensor.shape, bytes } as const);
  }
  return new Map<string, string | Uint8Array>([
    [configFile, JSON.stringify(toPeftConfig(config, { fanInFanOut }), undefined, 2)],
    [weightsFile, serializeSafetensors(stored, { format: "pt" })],
  ]);
}

export interface LoadAdapterOptions {
  /** What the adapter is called in the model. Default "default". */
  readonly adapterName?: string;
  /** Whether to go on training it. Default false: it takes no gradients and drops nothing. */
  readonly isTrainable?: boolean;
  /** Draws the dropout keys; needed to train an adapter that has dropout. */
  readonly generator?: Generator;
  /** Where the factors live. Default: where the base's parameters are. */
  readonly device?: Device;
  /** As for `injectLora`. */
  readonly modelType?: string;
  readonly allowTied?: boolean;
  readonly onWarning?: OnWarning;
}

/**
 * Puts an adapter that PEFT, or `saveAdapter`, has written on a model; it becomes the active one, alone. Strict: the
 * file must hold exactly the factors that its configuration asks for on this model, of the right shapes and finite.
 * float16 and bfloat16 are widened.
 *
 * @param open - opens `adapter_config.json` and `adapter_model.safetensors` of the adapter's folder
 * @throws LoraError or CheckpointError; the model is then unchanged
 */
export async function loadAdapter(
  model: Module,
  open: Opener,
  options: LoadAdapterOptions = {},
): Promise<InjectReport> {
  const who = "loadAdapter";
  const { adapterName = "default", isTrainable = false, generator, device, onWarning } = options;
  checkFree(model, adapterName, who);
  const fanInFanOut = [...model.namedModules()].some(
    ([, module]) => isLinearLike(module) && module.fanInFanOut === true,
  );
  const config = await readAdapterConfig(open, { onWarning, who, fanInFanOut });
  if (isTrainable && config.dropout > 0 && generator === undefined)
    throw new LoraError(
      who,
      `a generator must be given to train an adapter with dropout, got none for dropout ${config.dropout}. Pass generator.`,
    );
  const targets = findTargets(model, config, { ...options, allowUnmatched: true }, who);
  const file = await openCheckpoint(open, "adapter_model");
  const values = new Map<string, ArrayLike<number>>();
  try {
    checkFits(file, targets, config);
    for (const name of file.tensors.keys()) values.set(name, await readValues(file, name));
  } finally {
    await file.close();
  }
  checkFinite(file.name, values);
  return attachAdapter(model, targets, {
    config: withNames(model, config, targets),
    adapterName,
    device,
    generator,
    trainable: isTrainable,
    who,
    factors({ path }, factorOptions) {
      const [a, b] = keysOf(path).map((key) => values.get(key) ?? []);
      return givenFactors(factorOptions, a, b);
    },
  });
}

/**
 * Reads and checks `adapter_config.json`.
 *
 * @throws LoraError when it is missing, is no JSON or asks for what Graft cannot do
 */
export async function readAdapterConfig(
  open: Opener,
  {
    onWarning,
    who = "readAdapterConfig",
    fanInFanOut,
  }: { onWarning?: OnWarning; who?: string; fanInFanOut?: boolean } = {},
): Promise<LoraConfig> {
  const source = await open(configFile);
  if (source === undefined)
    throw new LoraError(
      who,
      `the folder must have ${configFile}, found none. Is it the folder of a PEFT adapter?`,
    );
  let text: string;
  try {
    text = await readText(source, who);
  } finally {
    await source.close?.();
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new LoraError(
      who,
      `${configFile} must be JSON, got something else (${error instanceof Error ? error.message.slice(0, 200) : error}).`,
    );
  }
  return fromPeftConfig(json, { onWarning, who, fanInFanOut });
}

async function readText(source: ByteSource, who: string): Promise<string> {
  if (source.size > configLimit)
    throw new LoraError(who, `${configFile} must be at most ${configLimit} bytes long, got ${source.size}.`);
  const bytes = await source.read(0, source.size);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new LoraError(who, `${configFile} must be UTF-8.`);
  }
}

function checkFits(file: SafetensorsFile, targets: readonly Target[], config: LoraConfig): void {
  const expected = new Map<string, readonly number[]>();
  for (const { path, layer, rank } of targets) {
    const [keyA, keyB] = keysOf(path);
    expected.set(keyA, [rank, layer.inFeatures]).set(keyB, [layer.outFeatures, rank]);
  }
  const problems: string[] = [];
  for (const [name, shape] of expected) {
    const found = file.tensors.get(name);
    if (found === undefined) problems.push(`${name}: missing`);
    else if (show(found.shape) !== show(shape))
      problems.push(`${name}: expected ${show(shape)}, got ${show(found.shape)}`);
    else if (!["F32", "F16", "BF16", "F64"].includes(found.dtype))
      problems.push(`${name}: expected F32, F16, BF16 or F64, got ${found.dtype}`);
  }
  for (const name of file.tensors.keys())
    if (!expected.has(name))
      problems.push(`${quote(name).slice(1, -1)}: not asked for by ${configFile} on this model`);
  if (problems.length === 0) return;
  const base = config.baseModelNameOrPath;
  throw new LoraError(
    "loadAdapter",
    `${file.name} does not fit this model: ${listed(problems)}\n${base === undefined ? "Is this the model it was made for?" : `It was made for ${quote(base)}.`}`,
  );
}

async function readValues(file: SafetensorsFile, name: string): Promise<ArrayLike<number>> {
  const { buffer, byteOffset, byteLength } = await file.readBytes(name);
  switch (file.tensors.get(name)?.dtype) {
    case "F16":
      return f16ToF32(new Uint16Array(buffer, byteOffset, byteLength / 2));
    case "BF16":
      return bf16ToF32(new Uint16Array(buffer, byteOffset, byteLength / 2));
    case "F64":
      return new Float64Array(buffer, byteOffset, byteLength / 8);
    default:
      return new Float32Array(buffer, byteOffset, byteLength / 4);
  }
}

function checkFinite(fileName: string, tensors: ReadonlyMap<string, ArrayLike<number>>): void {
  const problems: string[] = [];
  for (const [name, values] of tensors) {
    let bad = 0;
    // What f64 holds beyond f32 would become infinite.
    for (let i = 0; i < values.length; i++) if (!Number.isFinite(Math.fround(values[i]))) bad++;
    if (bad > 0) problems.push(`${name}: ${bad} of ${values.length} values are infinite or not a number`);
  }
  if (problems.length > 0)
    throw new LoraError(
      "loadAdapter",
      `${fileName} must hold finite values: ${listed(problems)}\nThe adapter is damaged.`,
    );
}
