import { f32ToF16 } from "../formats/half.ts";
import { packedFormats } from "../formats/packed/index.ts";
import {
  bytesOfWords,
  type PackedFormat,
  type PackedLayout,
  packedCount,
  packedLayout,
} from "../formats/packed/packed.ts";
import type { SampleInput } from "./cases.ts";
import { randomOf } from "./values.ts";

/** A format in one of its ways. */
export interface PackedVariant {
  readonly format: PackedFormat;
  readonly blockSize?: number;
  readonly nested?: boolean;
}

/** Every packed format, with small blocks where it has a choice, and nested where it nests. */
export const packedVariants: readonly PackedVariant[] = [...packedFormats.values()].flatMap((format) => {
  const blockSize = format.blockSizes.length > 0 ? Math.min(...format.blockSizes) : undefined;
  return format.nests
    ? [
        { format, blockSize },
        { format, blockSize, nested: true },
      ]
    : [{ format, blockSize }];
});

/** A packed matrix with values on the host. */
export interface PackedSample {
  readonly layout: PackedLayout;
  /** The inputs of an op, in the order of the parts. */
  readonly inputs: readonly SampleInput[];
  /** What it decodes to, `[rows, columns]`. */
  readonly values: Float32Array;
  /** The sum of magnitudes behind each value: with a minimum more than the value's own. */
  readonly reach: Float32Array;
}

/** A matrix of random bits with sensible scales. */
export function packedSample(
  { format, ...options }: PackedVariant,
  shape: readonly number[],
  seed: number,
): PackedSample {
  const layout = packedLayout(format, shape, options);
  const random = randomOf(seed);
  const parts = format.parts(layout).map(({ name, dtype, size }) => {
    if (dtype === "u32") return Uint32Array.from({ length: size }, () => random() * 2 ** 32);
    const scales = Float32Array.from({ length: size }, () => 0.25 + random());
    // A minimum may be negative; an offset outweighs the nested scales, as the mean of what is positive does.
    if (name === "minimum") return scales.map((value) => value - 0.75);
    return name === "nested_absmax" ? scales.map((value, i) => (i === size - 1 ? 2 + value : value)) : scales;
  });
  const [blocks] = parts;
  if (blocks instanceof Uint32Array) setHalves(format.name, blocks, layout, () => 0.25 + random());
  const decoded = (of: readonly (Uint32Array | Float32Array)[]): Float32Array => {
    const values = new Float32Array(packedCount(layout));
    format.decode(layout, of, 0, values.length, values);
    return values;
  };
  const values = decoded(parts);
  const scaled = decoded(withoutMinima(format.name, layout, parts));
  const reach = values.map((value, i) => Math.abs(scaled[i]) + Math.abs(value - scaled[i]));
  return {
    layout,
    inputs: parts.map((part) => ({
      shape: [part.length],
      values: [...part],
      dtype: part instanceof Uint32Array ? "u32" : "f32",
      grad: false,
    })),
    values,
    reach,
  };
}

/** Byte offsets of the float16 fields in a GGUF block: scales, then minima. */
const halves: Readonly<Record<string, { bytes: number; scale: number; minimum?: number }>> = {
  q4_0: { bytes: 18, scale: 0 },
  q4_1: { bytes: 20, scale: 0, minimum: 2 },
  q5_0: { bytes: 22, scale: 0 },
  q5_1: { bytes: 24, scale: 0, minimum: 2 },
  q8_0: { bytes: 34, scale: 0 },
  q4_k: { bytes: 144, scale: 0, minimum: 2 },
  q6_k: { bytes: 210, scale: 208 },
};

function setHalves(name: string, words: Uint32Array, layout: PackedLayout, draw: () => number): void {
  const fields = halves[name];
  if (fields === undefined) return;
  const bytes = bytesOfWords(words);
  const blocks = packedCount(layout) / layout.format.columnMultiple;
  for (let block = 0; block < blocks; block++)
    for (const field of [fields.scale, fields.minimum])
      if (field !== undefined) writeHalf(bytes, block * fields.bytes + field, draw());
  bytes.fill(0, blocks * fields.bytes);
}

function writeHalf(bytes: Uint8Array, at: number, value: number): void {
  const [bits] = f32ToF16(Float32Array.of(value));
  bytes[at] = bits & 255;
  bytes[at + 1] = bits >>> 8;
}

function withoutMinima<T extends Uint32Array | Float32Array>(
  name: string,
  layout: PackedLayout,
  parts: readonly T[],
): (Uint32Array | Float32Array)[] {
  const minimum = halves[name]?.minimum;
  const names = layout.format.parts(layout);
  return parts.map((part, i) => {
    if (names[i].name === "minimum") return new Float32Array(part.length);
    if (minimum === undefined || !(part instanceof Uint32Array)) return part;
    const copy = part.slice();
    const bytes = bytesOfWords(copy);
    for (let at = minimum; at + 1 < bytes.length; at += halves[name].bytes) bytes.fill(0, at, at + 2);
    return copy;
  });
}
