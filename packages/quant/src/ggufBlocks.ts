import {
  bytesFor,
  bytesOfWords,
  f16ToF32,
  f32ToF16,
  packedFormats,
  type Shape,
  ShapeError,
  show,
  sizeOf,
  ValueError,
  type WeightFormat,
  wordsOfBytes,
} from "@graft/tensor";
import * as weightFormats from "@graft/tensor/formats";
import { layoutNamed } from "./layout.ts";
import { checkOut, type DeviceForm, type Packed } from "./scheme.ts";

/** GGUF formats whose blocks kernels can read. */
export const blockFormats: ReadonlyMap<string, WeightFormat> = new Map(
  Object.values(weightFormats)
    .filter(({ name }) => packedFormats.has(name))
    .map((format) => [format.name, format]),
);

/** GGUF blocks, one after the other as in a file. */
export interface GgufPacked extends Packed {
  readonly bytes: Uint8Array;
}

/** What the GGUF schemes share: rows of whole blocks, and a float16 scale in the first two bytes of each. */
export function ggufDequantize(format: WeightFormat, packed: GgufPacked, out?: Float32Array): Float32Array {
  const to = checkOut(format.name, packed, out);
  format.decode(packed.bytes, sizeOf(packed.shape), to);
  return to;
}

export function ggufBytes(format: WeightFormat, shape: Shape): number {
  if ((shape.at(-1) ?? 1) % format.blockSize !== 0)
    throw new ShapeError(
      format.name,
      `the last axis must be a multiple of ${format.blockSize}, got ${show(shape)}.`,
    );
  return bytesFor(format, sizeOf(shape));
}

/** Blocks stay as they stand in a file. */
export function ggufToDevice({ scheme, shape, bytes }: GgufPacked): DeviceForm {
  return { layout: layoutNamed(scheme, shape), parts: [wordsOfBytes(bytes)] };
}

export function ggufFromDevice({ layout, parts: [words] }: DeviceForm): GgufPacked {
  const { format, shape } = layout;
  const { blockSize, blockBytes } = blocksNamed(format.name);
  const bytes = bytesOfWords(words).slice(0, (sizeOf(shape) / blockSize) * blockBytes);
  return { scheme: format.name, shape, bytes };
}

/** The GGUF format of packed weights; also those that no scheme writes can be kept packed. */
export function blocksNamed(name: string): WeightFormat {
  const format = blockFormats.get(name);
  if (format === undefined)
    throw new ValueError(
      "blocksNamed",
      `the format must be one of ${[...blockFormats.keys()].join(", ")}, got "${name}".`,
    );
  return format;
}

/** Writes the scale of a block as float16. */
export function writeScale(name: string, bytes: Uint8Array, at: number, scale: number, block: number): void {
  const [bits] = f32ToF16(Float32Array.of(scale));
  if ((bits & 0x7c00) === 0x7c00)
    throw new ValueError(name, `the scale of block ${block} must fit in float16, got ${scale}.`);
  bytes[at] = bits & 255;
  bytes[at + 1] = bits >>> 8;
}

/** How far float16 moves a scale. */
export function scaleError(scale: number): number {
  return Math.abs(f16ToF32(f32ToF16(Float32Array.of(scale)))[0] - scale);
}
