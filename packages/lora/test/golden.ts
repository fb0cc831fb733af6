import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type CausalLM, loadFromHf } from "@graft/nn";
import type { Opener } from "@graft/nn/checkpoint";
import { bytesSource, openSafetensors } from "@graft/nn/checkpoint";
import { folderOpener } from "@graft/nn/node";
import type { Device } from "@graft/tensor";

const data = fileURLToPath(new URL("../../../tools/golden/data", import.meta.url));

/** A file or folder of the golden data. */
export function goldenPath(path: string): string {
  return `${data}/${path}`;
}

export function goldenFolder(path: string): Opener {
  return folderOpener(goldenPath(path));
}

export async function goldenJson(path: string): Promise<unknown> {
  return JSON.parse(await readFile(goldenPath(path), "utf8"));
}

export async function goldenModel(folder: string, device: Device): Promise<CausalLM> {
  const bytes = await readFile(goldenPath(`${folder}/model.safetensors`));
  return loadFromHf(await goldenJson(`${folder}/config.json`), await openSafetensors(bytesSource(bytes)), {
    device,
  });
}

export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array | Int32Array;
}

/** Tensors of a small file, F32 and I32. */
export async function goldenTensors(path: string): Promise<Map<string, GoldenTensor>> {
  const file = await openSafetensors(bytesSource(await readFile(goldenPath(path))));
  const tensors = new Map<string, GoldenTensor>();
  for (const [name, { dtype, shape }] of file.tensors) {
    const { buffer } = (await file.readBytes(name)).slice();
    tensors.set(name, { shape, values: dtype === "I32" ? new Int32Array(buffer) : new Float32Array(buffer) });
  }
  return tensors;
}

/** Largest |a − b| / max(1, |b|), as tools/golden/check_adapter.py measures; infinite for anything not finite. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i] - b[i]) / Math.max(1, Math.abs(b[i]));
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
  }
  return largest;
}
