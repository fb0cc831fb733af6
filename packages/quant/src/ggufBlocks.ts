import {
  bytesFor,
  f16ToF32,
  f32ToF16,
  type Shape,
  ShapeError,
  show,
  sizeOf,
  ValueError,
  type WeightFormat,
} from "@graft/tensor";
import { checkOut, type Packed } from "./scheme.ts";

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
