import {
  bf16ToF32,
  type Device,
  type DType,
  f16ToF32,
  f32ToBf16,
  f32ToF16,
  show,
  sizeOf,
  type TypedArray,
  type WeightFormat,
} from "@graft/tensor";
import type { GgufFile } from "../checkpoint/gguf.ts";
import type { GgufTensor } from "../checkpoint/ggufHeader.ts";
import { ggufFormat, readableGgufTypes } from "../checkpoint/ggufTypes.ts";
import type { SafetensorsFile } from "../checkpoint/safetensors.ts";
import { CheckpointError, listed } from "../errors.ts";
import type { Module } from "../module.ts";
import { Parameter } from "../parameter.ts";

/** What is known of a weight before it is read. */
export interface WeightEntry {
  readonly shape: readonly number[];
  readonly type: string;
  /** Packed in few bits, and always as `[outFeatures, inFeatures]`. Default false. */
  readonly packed?: boolean;
}

/** Named weights in a file of any kind, one readable at a time. */
export interface WeightSource {
  /** The function that the user called, for messages. */
  readonly who: "loadFromHf" | "loadFromGguf";
  readonly name: string;
  readonly tensors: ReadonlyMap<string, WeightEntry>;
  /** The storage types whose values can be read. */
  readonly types: readonly string[];
  /** The values, widened to float32. */
  read(name: string): Promise<Float32Array>;
}

/** The weights of a safetensors file or sharded folder, stored as F32, F16, BF16 or F64. */
export function safetensorsWeights(file: SafetensorsFile): WeightSource {
  return {
    who: "loadFromHf",
    name: file.name,
    tensors: new Map([...file.tensors].map(([name, { shape, dtype }]) => [name, { shape, type: dtype }])),
    types: ["F32", "F16", "BF16", "F64"],
    async read(name) {
      const dtype = file.tensors.get(name)?.dtype;
      const { buffer, byteOffset, byteLength } = await file.readBytes(name);
      switch (dtype) {
        case "F32":
          return new Float32Array(buffer, byteOffset, byteLength / 4);
        case "F16":
          return f16ToF32(new Uint16Array(buffer, byteOffset, byteLength / 2));
        case "BF16":
          return bf16ToF32(new Uint16Array(buffer, byteOffset, byteLength / 2));
        case "F64":
          return Float32Array.from(new Float64Array(buffer, byteOffset, byteLength / 8));
        default:
          throw new Error(`internal: ${name} was read before its type was checked`);
      }
    },
  };
}

/**
 * The weights of a GGUF file under the names `rename` gives (undefined: left out).
 * @param options.restore - undoes what the converter did to a tensor, on its values in place of the stored ones
 */
export function ggufWeights(
  file: GgufFile,
  {
    rename,
    restore,
  }: {
    rename: (name: string) => string | undefined;
    restore: (name: string, values: Float32Array, shape: readonly number[]) => Float32Array;
  },
): WeightSource {
  const tensors = ggufTensors(file, rename);
  return {
    who: "loadFromGguf",
    name: file.name,
    tensors,
    types: readableGgufTypes,
    async read(own) {
      const { format, bytes, shape } = await readBlocks(file, tensors.get(own));
      const count = sizeOf(shape);
      const values = new Float32Array(count);
      format.decode(bytes, count, values);
      return restore(own, values, shape);
    },
  };
}

/** The tensors of a GGUF file under the names `rename` gives (undefined: left out). */
export function ggufTensors(
  file: GgufFile,
  rename: (name: string) => string | undefined,
): Map<string, GgufTensor> {
  const tensors = new Map<string, GgufTensor>();
  for (const [name, tensor] of file.tensors) {
    const own = rename(name);
    if (own !== undefined) tensors.set(own, tensor);
  }
  return tensors;
}

/** The blocks of a tensor as they lie in the file, with finite scales. */
export async function readBlocks(
  file: GgufFile,
  tensor: GgufTensor | undefined,
): Promise<{ format: WeightFormat; bytes: Uint8Array; shape: readonly number[] }> {
  const format = tensor && ggufFormat(tensor.type);
  if (tensor === undefined || format === undefined)
    throw new Error(`internal: ${tensor?.name} was read before its type was checked`);
  const bytes = await file.readBytes(tensor.name);
  try {
    format.validate(bytes);
  } catch (error) {
    throw new CheckpointError(
      "loadFromGguf",
      `${file.name}: ${tensor.name}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  return { format, bytes, shape: tensor.shape };
}

/** Checks names, shapes and types, all problems at once, before any memory is taken for them. */
export function checkWeights(
  source: WeightSource,
  expected: ReadonlyMap<string, readonly number[]>,
  ignore: (name: string) => boolean,
): void {
  const problems: string[] = [];
  for (const [name, shape] of expected) {
    const found = source.tensors.get(name);
    if (found === undefined) problems.push(`${name}: missing`);
    else if (show(found.shape) !== show(shape))
      problems.push(`${name}: expected ${show(shape)}, got ${show(found.shape)}`);
    else if (!source.types.includes(found.type))
      problems.push(`${name}: must be stored as ${source.types.join(", ")}, got ${found.type}`);
  }
  for (const name of source.tensors.keys())
    if (!expected.has(name) && !ignore(name)) problems.push(`${name.slice(0, 100)}: not in this model`);
  if (problems.length > 0)
    throw new CheckpointError(
      source.who,
      `${source.name} does not fit its configuration: ${listed(problems, 3)}`,
    );
}

/** A parameter with the values of one weight, rounded to the dtype. */
export async function loadParameter(
  source: WeightSource,
  name: string,
  { device, dtype = "f32", shape }: { device: Device; dtype?: DType; shape: readonly number[] },
): Promise<Parameter> {
  const values = await source.read(name);
  const parameter = Parameter.empty(device, shape, dtype);
  parameter.upload(storedAs(dtype, values));
  return parameter;
}

/** Fills the parameters of `model`, one tensor at a time, so that the peak is the model and one tensor. */
export async function fillWeights(
  model: Module,
  source: WeightSource,
  onTensor?: (done: number, total: number) => void,
): Promise<void> {
  const parameters = [...model.namedParameters()];
  for (const [i, [name, parameter]] of parameters.entries()) {
    const values = await source.read(name);
    parameter.upload(storedAs(parameter.dtype, values));
    onTensor?.(i + 1, parameters.length);
  }
}

function storedAs(dtype: DType, values: Float32Array): TypedArray {
  if (dtype === "f16") return f32ToF16(values);
  if (dtype === "bf16") return f32ToBf16(values);
  return dtype === "f64" ? Float64Array.from(values) : values;
}
