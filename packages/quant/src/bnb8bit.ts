import { CheckpointError, quote, type SafetensorsFile, type SafetensorsTensor } from "@graft/nn/checkpoint";
import { show } from "@graft/tensor";
import type { Int8Packed } from "./schemes/int8.ts";

const weightSuffix = ".weight";

/** Weights go through float16 before they become 8 bits. */
const largestHalf = 65_504;

/** The names of the weights that are stored in 8 bits: those with a scale by row (`SCB`) beside them. */
export function bnb8bitNames(file: SafetensorsFile): string[] {
  return [...file.tensors.keys()]
    .filter((name) => name.endsWith(".SCB"))
    .map((name) => `${name.slice(0, -".SCB".length)}${weightSuffix}`);
}

/**
 * Reads one weight as bitsandbytes' Linear8bitLt saves it: `weight` I8 `[outFeatures, inFeatures]`, `SCB` F32
 * `[outFeatures]`, `weight_format` 0 (rows), which may be missing.
 *
 * @param name - of the weight, for example `"model.layers.0.mlp.up_proj.weight"`
 * @throws CheckpointError that names the file, the weight and what is wrong with it
 */
export async function readBnb8bit(file: SafetensorsFile, name: string): Promise<Int8Packed> {
  const fail = (problem: string): Error =>
    new CheckpointError("readBnb8bit", `${file.name}: ${quote(name)}: ${problem}.`);
  const module = moduleOf(name);
  const weight = file.tensors.get(name);
  const scales = file.tensors.get(`${module}.SCB`);
  if (weight?.dtype !== "I8" || weight.shape.length !== 2)
    throw fail(`the weight must be I8 with two axes, got ${weight ? describe(weight) : "nothing"}`);
  if (scales?.dtype !== "F32" || show(scales.shape) !== show([weight.shape[0]]))
    throw fail(`SCB must be F32 [${weight.shape[0]}], got ${scales ? describe(scales) : "nothing"}`);

  const format = file.tensors.get(`${module}.weight_format`);
  if (format !== undefined) {
    if (format.dtype !== "U8" || format.end - format.begin !== 1)
      throw fail(`weight_format must be one U8, got ${describe(format)}`);
    const [code] = await file.readBytes(`${module}.weight_format`);
    if (code !== 0)
      throw fail(
        `weight_format must be 0, for rows, got ${code}. Save the model with a current bitsandbytes`,
      );
  }

  const absmax = new Float32Array((await file.readBytes(`${module}.SCB`)).slice().buffer);
  const bad = absmax.findIndex((value) => !(value >= 0 && value <= largestHalf));
  if (bad >= 0) throw fail(`SCB ${bad} must be from 0 to ${largestHalf}, got ${absmax[bad]}`);
  const codes = new Int8Array((await file.readBytes(name)).slice().buffer);
  return { scheme: "int8", shape: weight.shape, codes, absmax };
}

/** The tensors that bitsandbytes and transformers read back. */
export function bnb8bitTensors(name: string, { shape, codes, absmax }: Int8Packed): SafetensorsTensor[] {
  const module = moduleOf(name);
  const bytes = (array: Int8Array | Float32Array): Uint8Array =>
    new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  return [
    { name, dtype: "I8", shape, bytes: bytes(codes) },
    { name: `${module}.SCB`, dtype: "F32", shape: [absmax.length], bytes: bytes(absmax) },
    { name: `${module}.weight_format`, dtype: "U8", shape: [], bytes: Uint8Array.of(0) },
  ];
}

function moduleOf(name: string): string {
  if (!name.endsWith(weightSuffix))
    throw new CheckpointError("bnb8bit", `the name must end in ${quote(weightSuffix)}, got ${quote(name)}.`);
  return name.slice(0, -weightSuffix.length);
}

function describe({ dtype, shape }: { readonly dtype: string; readonly shape: readonly number[] }): string {
  return `${dtype} ${show(shape)}`;
}
