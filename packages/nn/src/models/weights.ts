import {
  bf16,
  bf16ToF32,
  f16,
  f16ToF32,
  f32,
  fromArray,
  q4_0,
  q4_1,
  q8_0,
  show,
  type WeightFormat,
} from "@graft/tensor";
import type { GgufFile } from "../checkpoint/gguf.ts";
import type { SafetensorsFile } from "../checkpoint/safetensors.ts";
import { CheckpointError } from "../errors.ts";
import type { Module } from "../module.ts";

/** Named weights in a file of any kind, one readable at a time. */
export interface WeightSource {
  readonly name: string;
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** The values, widened to float32. */
  read(name: string): Promise<Float32Array>;
}

/** The weights of a safetensors file or sharded folder, stored as F32, F16, BF16 or F64. */
export function safetensorsWeights(file: SafetensorsFile): WeightSource {
  return {
    name: file.name,
    shapes: new Map([...file.tensors].map(([name, { shape }]) => [name, shape])),
    async read(name) {
      const dtype = file.tensors.get(name)?.dtype;
      const bytes = await file.readBytes(name);
      const { buffer, byteOffset, byteLength } = bytes;
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
          throw new CheckpointError(
            "loadWeights",
            `${file.name}: ${name} must be stored as F32, F16, BF16 or F64, got ${dtype}. Quantized folders are not supported yet.`,
          );
      }
    },
  };
}

const formats: ReadonlyMap<string, WeightFormat> = new Map(
  [f32, f16, bf16, q4_0, q4_1, q8_0].map((format) => [format.name.toUpperCase(), format]),
);

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
  const stored = new Map<string, string>();
  for (const name of file.tensors.keys()) {
    const own = rename(name);
    if (own !== undefined) stored.set(own, name);
  }
  const shapes = new Map<string, readonly number[]>();
  for (const [own, name] of stored) shapes.set(own, file.tensors.get(name)?.shape ?? []);
  return {
    name: file.name,
    shapes,
    async read(own) {
      const name = stored.get(own) ?? own;
      const tensor = file.tensors.get(name);
      const format = formats.get(tensor?.type.toUpperCase() ?? "");
      if (tensor === undefined || format === undefined) {
        throw new CheckpointError(
          "loadWeights",
          `${file.name}: ${name} must be stored as ${[...formats.keys()].join(", ")}, got ${tensor?.type ?? "nothing"}.`,
        );
      }
      const bytes = await file.readBytes(name);
      const count = tensor.shape.reduce((product, dim) => product * dim, 1);
      try {
        format.validate(bytes);
      } catch (error) {
        throw new CheckpointError(
          "loadWeights",
          `${file.name}: ${name}: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
      const values = new Float32Array(count);
      format.decode(bytes, count, values);
      return restore(own, values, tensor.shape);
    },
  };
}

/** Checks names and shapes, all problems at once, before any memory is taken for them. */
export function checkShapes(
  source: WeightSource,
  expected: ReadonlyMap<string, readonly number[]>,
  ignore: (name: string) => boolean,
): void {
  const problems: string[] = [];
  for (const [name, shape] of expected) {
    const found = source.shapes.get(name);
    if (found === undefined) problems.push(`${name}: missing`);
    else if (show(found) !== show(shape))
      problems.push(`${name}: expected ${show(shape)}, got ${show(found)}`);
  }
  for (const name of source.shapes.keys())
    if (!expected.has(name) && !ignore(name)) problems.push(`${name.slice(0, 100)}: not in this model`);
  if (problems.length === 0) return;
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  const more = problems.length > 3 ? `\n  and ${problems.length - 3} more` : "";
  throw new CheckpointError(
    "loadWeights",
    `${source.name} does not fit its configuration: ${count}\n${problems
      .sort()
      .slice(0, 3)
      .map((problem) => `  ${problem}`)
      .join("\n")}${more}`,
  );
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
    if (parameter.dtype === "f32") parameter.upload(values);
    else {
      const converted = fromArray(parameter.device, values, parameter.shape, { dtype: parameter.dtype });
      parameter.upload(await converted.toBits());
      converted.dispose();
    }
    onTensor?.(i + 1, parameters.length);
  }
}
