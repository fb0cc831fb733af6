import { dynamicMap, nestedBlockSize } from "@graft/tensor";
import { absmaxOf, forBlocks } from "./scheme.ts";

/** Block scales in 8 bits (bitsandbytes' double quantization): `a ≈ map[code] · absmax + offset`. */
export interface NestedAbsmax {
  /** `[blocks]`, places in `dynamicMap`. */
  readonly codes: Uint8Array;
  /** `[⌈blocks / 256⌉]` */
  readonly absmax: Float32Array;
  /** The mean of all scales. */
  readonly offset: number;
}

export { dynamicMap, nestedBlockSize };

const midpoints = dynamicMap.slice(1).map((value, i) => (dynamicMap[i] + value) / 2);

/** Half of the largest gap between neighbours: how far a value of [−0.993, 1] can lie from the map. */
const halfGap = dynamicMap.reduce(
  (gap, value, i) => Math.max(gap, (value - (dynamicMap[i - 1] ?? value)) / 2),
  0,
);

// Below it a reciprocal would overflow; bitsandbytes has the same floor for its 4-bit blocks.
const smallest = Math.fround(1e-38);

export function quantizeAbsmax(absmax: Float32Array): NestedAbsmax {
  const { fround } = Math;
  const offset = offsetOf(absmax);
  const centred = absmax.map((value) => value - offset);
  const codes = new Uint8Array(absmax.length);
  const nested = new Float32Array(Math.ceil(absmax.length / nestedBlockSize));
  forBlocks(absmax.length, nestedBlockSize, (start, end, block) => {
    nested[block] = absmaxOf(centred, start, end);
    const inverse = fround(1 / Math.max(nested[block], smallest));
    for (let i = start; i < end; i++) codes[i] = nearest(fround(centred[i] * inverse));
  });
  return { codes, absmax: nested, offset };
}

/** Rounded as bitsandbytes does: the product to float32, then the sum. */
export function dequantizeAbsmax({ codes, absmax, offset }: NestedAbsmax): Float32Array {
  return Float32Array.from(codes, (code, i) => {
    const product = Math.fround(dynamicMap[code] * absmax[Math.floor(i / nestedBlockSize)]);
    return Math.fround(product + offset);
  });
}

/** How far each of `absmax` can at most lie from what comes back. */
export function nestedBound(absmax: Float32Array): Float64Array {
  const offset = offsetOf(absmax);
  const bound = new Float64Array(absmax.length);
  forBlocks(absmax.length, nestedBlockSize, (start, end) => {
    let largest = 0;
    for (let i = start; i < end; i++) largest = Math.max(largest, Math.abs(absmax[i] - offset));
    // The map ends at −0.99297, less than half a gap from −1. Below the floor codes are too small, never too large.
    const code = largest < 2 * smallest ? 1 : halfGap;
    for (let i = start; i < end; i++)
      bound[i] = code * largest + 2 ** -20 * (largest + absmax[i] + offset) + 2 ** -147;
  });
  return bound;
}

function offsetOf(absmax: Float32Array): number {
  return absmax.length === 0 ? 0 : Math.fround(absmax.reduce((sum, value) => sum + value, 0) / absmax.length);
}

function nearest(value: number): number {
  let low = 0;
  let high = midpoints.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (midpoints[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
