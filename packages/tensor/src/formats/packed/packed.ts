import type { View } from "../../device/device.ts";
import type { TypedArray } from "../../dtype.ts";
import { ValueError } from "../../errors.ts";
import type { GpuInfo, Kernel } from "../../ops/kernel.ts";
import { show } from "../../shape.ts";

/** A matrix in few bits, before any values: what a format needs to say how many words it takes. */
export interface PackedLayout {
  readonly format: PackedFormat;
  /** `[rows, columns]`; values are numbered row after row. */
  readonly shape: readonly [number, number];
  /** Values that share a scale, over the flat values; the last block may be short. 0 where the format has its own. */
  readonly blockSize: number;
  /** The scales are packed themselves (bitsandbytes' double quantization). */
  readonly nested: boolean;
}

/** One of the arrays that a packed matrix consists of. Bytes are packed into words, the first one lowest. */
export interface PackedPart {
  /** As parameters are named: "codes", "absmax". */
  readonly name: string;
  readonly dtype: "u32" | "f32";
  /** In values of `dtype`. */
  readonly size: number;
}

/** The text that reads a packed matrix inside a kernel. */
export interface PackedReader {
  /**
   * Module-level WGSL over the parts, which are bound as `<name>_<part>`. It must declare `<name>_at(e: u32) -> f32`, the
   * value number e, and `<name>_four(e: u32) -> vec4f`, those from e to e + 3, where e is a multiple of 4.
   * `P.<name>_shift` is the binary logarithm of the block size.
   */
  readonly declare: string;
  /** Statements at the start of main, where the reader keeps something in the lanes. */
  readonly setup?: string;
}

/**
 * How a matrix lies in few bits on a device, and how kernels read it: the device's side of a quantization scheme.
 * Adding one is a file with a record and an export line in `packed/index.ts`. A reader for WebAssembly may join `wgsl`.
 */
export interface PackedFormat {
  /** The scheme's name, for example `"nf4"`. */
  readonly name: string;
  /** The block sizes that it takes, all powers of two, the default first; empty where it has its own. */
  readonly blockSizes: readonly number[];
  /** Whether scales may be nested. */
  readonly nests: boolean;
  /** Columns must be a multiple of it. */
  readonly columnMultiple: number;

  /** The arrays, in the order in which ops take them. */
  parts(layout: PackedLayout): readonly PackedPart[];

  /**
   * Values number `start` to `end - 1`, each computed exactly (float64) and rounded to float32 once.
   * @param parts - the arrays of `parts(layout)`
   */
  decode(
    layout: PackedLayout,
    parts: readonly TypedArray[],
    start: number,
    end: number,
    out: Float32Array,
  ): void;

  /** Where all values of a row share a scale: the f32 part of it and a factor. `wgsl` then reads values without it. */
  readonly rowScale?: { readonly part: string; readonly factor: number };

  /** @param lanes - of a subgroup, where the kernel has subgroup operations and all lanes read at once; else 0 */
  wgsl(name: string, lanes: number): PackedReader;

  /** Kernels that must run first, and what is then bound in the place of the parts. */
  prepare?(
    layout: PackedLayout,
    parts: readonly View[],
    gpu: GpuInfo,
  ): { readonly kernels: readonly Kernel[]; readonly parts: readonly (readonly [string, View])[] };
}

/** A layout with its options checked. */
export function packedLayout(
  format: PackedFormat,
  shape: readonly number[],
  { blockSize, nested = false }: { readonly blockSize?: number; readonly nested?: boolean } = {},
): PackedLayout {
  const [rows, columns] = shape;
  if (shape.length !== 2 || !shape.every((dim) => Number.isSafeInteger(dim) && dim > 0))
    throw new ValueError(format.name, `a packed matrix must be [rows, columns], got ${show(shape)}.`);
  if (columns % format.columnMultiple !== 0)
    throw new ValueError(
      format.name,
      `columns must be a multiple of ${format.columnMultiple}, got ${show(shape)}.`,
    );
  const size = blockSize ?? format.blockSizes[0] ?? 0;
  if (format.blockSizes.length === 0 ? size !== 0 : !format.blockSizes.includes(size))
    throw new ValueError(
      format.name,
      `blockSize must be ${format.blockSizes.length === 0 ? "left out" : `one of ${format.blockSizes.join(", ")}`}, got ${size}.`,
    );
  if (nested && !format.nests) throw new ValueError(format.name, "scales cannot be nested in this format.");
  return { format, shape: [rows, columns], blockSize: size, nested };
}

/** Values in a layout. */
export const packedCount = ({ shape: [rows, columns] }: PackedLayout): number => rows * columns;

/** Words that `bytes` bytes take. */
export const wordsFor = (bytes: number): number => Math.ceil(bytes / 4);

/** The bytes of an array of words. */
export function bytesOfWords(words: TypedArray): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

/** Words of bytes, zeros behind the last. */
export function wordsOfBytes(bytes: Uint8Array | Int8Array): Uint32Array {
  const words = new Uint32Array(wordsFor(bytes.length));
  bytesOfWords(words).set(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length));
  return words;
}

/** A number as an f32 literal of WGSL. */
export const literal = (value: number): string => `${Math.fround(value)}f`;
