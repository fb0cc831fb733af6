import { transposed, type WeightDtype, type WeightSource, weightBits } from "@graft/nn";
import {
  byteLengthOf,
  CheckpointError,
  type LazyTensor,
  quote,
  safetensorsChunks,
} from "@graft/nn/checkpoint";
import { type Shape, sizeOf, ValueError } from "@graft/tensor";
import { bnb4bitTensors } from "../bnb4bit.ts";
import { bnb8bitTensors } from "../bnb8bit.ts";
import type { FloatName } from "../bnbQuantState.ts";
import { fp4, int4, int8, nf4 } from "../schemes/index.ts";
import { int4Tensors } from "./int4File.ts";
import { int4GroupSize } from "./quantizationConfig.ts";

/** Schemes that a folder can be written in. */
export const fileSchemes = ["nf4", "fp4", "int8", "int4"] as const;
export type FileScheme = (typeof fileSchemes)[number];

export interface QuantizeFileOptions {
  readonly scheme: FileScheme;
  /** Only of nf4 and fp4. Default false. */
  readonly doubleQuant?: boolean;
  /** The weights to quantize; all others stay as they are. */
  readonly quantized: (name: string) => boolean;
  /** The weights among them that are stored as `[inFeatures, outFeatures]`: they are turned first, as transformers does. Default: none. */
  readonly turned?: (name: string) => boolean;
  /** The weights to leave out, for example a tied head that is there twice. Default: none. */
  readonly omitted?: (name: string) => boolean;
  /** What the other weights are written in. Default: what they are stored in (F32 for anything but F16 and BF16). */
  readonly dtype?: WeightDtype;
  /** A file of more bytes is cut into several, with an index. Default 5 GB, as transformers 4 does. */
  readonly maxShardBytes?: number;
  /** Called after each weight that was quantized or copied. */
  readonly onTensor?: (done: number, total: number) => void;
}

/** The files of weights, and what they hold. */
export interface QuantizedFiles {
  /** By name, for `writeFolderAtomic`: to be written in this order, once. */
  readonly files: ReadonlyMap<string, AsyncIterable<Uint8Array>>;
  /** Bytes of all weights before and after: codes and scales, without tables and descriptions. */
  readonly before: number;
  readonly after: number;
  /** Weights that are quantized. */
  readonly count: number;
}

const floatNames: Readonly<Record<WeightDtype, FloatName>> = {
  f32: "float32",
  f16: "float16",
  bf16: "bfloat16",
};
const codebooks = { nf4, fp4 } as const;
const fileDtypes = { f32: "F32", f16: "F16", bf16: "BF16" } as const;
const bytesOf: Readonly<Record<WeightDtype, number>> = { f32: 4, f16: 2, bf16: 2 };

/**
 * A model's weights in few bits, one after the other while they are written: at most the packed weights of one file are in
 * memory, and one weight as floats. transformers with bitsandbytes reads nf4, fp4 and int8.
 *
 * @throws CheckpointError naming the weight that has values which cannot be quantized (while the files are written)
 */
export function quantizeFiles(source: WeightSource, options: QuantizeFileOptions): QuantizedFiles {
  const { quantized, omitted = () => false, maxShardBytes = 5e9 } = options;
  const names = [...source.tensors.keys()].filter((name) => !omitted(name)).sort();
  const sizes = new Map(names.map((name) => [name, plannedBytes(source, name, options)]));
  const shards: string[][] = [[]];
  let room = maxShardBytes;
  for (const name of names) {
    const size = sizes.get(name) ?? 0;
    if (size > room && shards[shards.length - 1].length > 0) {
      shards.push([]);
      room = maxShardBytes;
    }
    shards[shards.length - 1].push(name);
    room -= size;
  }
  let done = 0;
  const progress = (): void => options.onTensor?.(++done, names.length);
  const places: [string, string][] = [];
  let total = 0;
  const write = async function* (file: string, shard: readonly string[]): AsyncGenerator<Uint8Array> {
    const tensors = await tensorsOf(source, shard, options, progress);
    for (const { name, dtype, shape } of tensors) {
      places.push([name, file]);
      total += byteLengthOf(dtype, shape) ?? 0;
    }
    yield* safetensorsChunks(tensors, { format: "pt" });
  };
  const files = new Map<string, AsyncIterable<Uint8Array>>(
    shards.map((shard, i) => {
      const file =
        shards.length === 1
          ? "model.safetensors"
          : `model-${padded(i + 1)}-of-${padded(shards.length)}.safetensors`;
      return [file, write(file, shard)];
    }),
  );
  if (shards.length > 1) {
    const index = async function* (): AsyncGenerator<Uint8Array> {
      const map = Object.fromEntries(places.sort(([one], [other]) => (one < other ? -1 : 1)));
      const json = { metadata: { total_size: total }, weight_map: map };
      yield new TextEncoder().encode(`${JSON.stringify(json, undefined, 2)}\n`);
    };
    files.set("model.safetensors.index.json", index());
  }
  const sum = (bytes: (name: string) => number): number => names.reduce((all, name) => all + bytes(name), 0);
  return {
    files,
    before: sum((name) => sizeOf(shapeOf(source, name)) * bytesOf[dtypeOf(source, name, options)]),
    after: sum((name) => sizes.get(name) ?? 0),
    count: names.filter(quantized).length,
  };
}

async function tensorsOf(
  source: WeightSource,
  names: readonly string[],
  options: QuantizeFileOptions,
  progress: () => void,
): Promise<LazyTensor[]> {
  const tensors: LazyTensor[] = [];
  for (const name of names) {
    const dtype = dtypeOf(source, name, options);
    if (options.quantized(name)) {
      tensors.push(...(await packedTensors(source, name, floatNames[dtype], options)));
      progress();
      continue;
    }
    const bytes = async (): Promise<Uint8Array> => {
      const { buffer, byteOffset, byteLength } = weightBits(name, await source.read(name), dtype);
      progress();
      return new Uint8Array(buffer, byteOffset, byteLength);
    };
    tensors.push({ name, dtype: fileDtypes[dtype], shape: shapeOf(source, name), bytes });
  }
  return tensors;
}

async function packedTensors(
  source: WeightSource,
  name: string,
  dtype: FloatName,
  { scheme, doubleQuant = false, turned = () => false }: QuantizeFileOptions,
): Promise<LazyTensor[]> {
  const stored = shapeOf(source, name);
  const read = await source.read(name);
  const [values, shape] = turned(name) ? [transposed(read, stored), [...stored].reverse()] : [read, stored];
  try {
    switch (scheme) {
      case "nf4":
      case "fp4":
        return bnb4bitTensors(name, codebooks[scheme].quantize(values, shape, { doubleQuant }), dtype);
      case "int8":
        return bnb8bitTensors(name, int8.quantize(values, shape));
      case "int4":
        return int4Tensors(name, int4.quantize(values, shape, { groupSize: int4GroupSize }));
    }
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    throw new CheckpointError("quantizeFiles", `${source.name}: ${quote(name)}: ${error.message}`);
  }
}

/** Bytes of a weight: codes and scales. */
function plannedBytes(source: WeightSource, name: string, options: QuantizeFileOptions): number {
  const shape = shapeOf(source, name);
  const { scheme, doubleQuant = false } = options;
  if (!options.quantized(name)) return sizeOf(shape) * bytesOf[dtypeOf(source, name, options)];
  if (scheme === "int8") return int8.bytes(options.turned?.(name) ? [...shape].reverse() : shape);
  if (scheme === "int4") return int4.bytes(shape, { groupSize: int4GroupSize });
  return codebooks[scheme].bytes(shape, { doubleQuant });
}

function dtypeOf(source: WeightSource, name: string, { dtype }: QuantizeFileOptions): WeightDtype {
  const stored = source.tensors.get(name)?.type;
  return dtype ?? (stored === "F16" ? "f16" : stored === "BF16" ? "bf16" : "f32");
}

function shapeOf(source: WeightSource, name: string): Shape {
  return source.tensors.get(name)?.shape ?? [];
}

function padded(number: number): string {
  return String(number).padStart(5, "0");
}
