import { bytesOfWords, sizeOf, ValueError, wordsOfBytes } from "@graft/tensor";
import { layoutNamed } from "../layout.ts";
import { packNibbles, unpackNibbles } from "../pack.ts";
import { roundHalfEven } from "../rounding.ts";
import { checkOut, checkValues, forBlocks, type Packed, resolveOptions, type Scheme } from "../scheme.ts";
import type { Int4Options } from "./int4.ts";

export interface Int4AsymmetricPacked extends Packed {
  readonly groupSize: number;
  /** `[⌈n/2⌉]`, the first code in the low nibble. */
  readonly codes: Uint8Array;
  /** `[⌈n/groupSize⌉]`, of groups over the flat values; the last may be short. */
  readonly scale: Float32Array;
  /** `[⌈n/groupSize⌉]` */
  readonly minimum: Float32Array;
}

/**
 * Asymmetric INT4: `scale = (max − min) / 15`, `q = round((x − min) / scale)` in 0..15, value `min + q · scale`. Off by at
 * most half a scale; smaller than the symmetric one where a group lies on one side of zero, but zero is no code.
 */
export const int4Asymmetric: Scheme<Int4Options, Int4AsymmetricPacked> = {
  name: "int4-asymmetric",
  rounding: "halfEven",
  options: { groupSize: [64, 32, 128, 256] },
  keepsZero: false,
  keepsNegation: true,

  quantize(values, shape, options) {
    const { groupSize } = resolveOptions(int4Asymmetric, options);
    checkValues("int4-asymmetric", values, shape);
    const groups = Math.ceil(values.length / groupSize);
    const scale = new Float32Array(groups);
    const minimum = new Float32Array(groups);
    const codes = new Uint8Array(values.length);
    forBlocks(values.length, groupSize, (start, end, group) => {
      const [low, high] = rangeOf(values, start, end);
      minimum[group] = low;
      scale[group] = (high - low) / 15;
      // Rounded up, the scale of a huge group could lead beyond float32.
      if (!Number.isFinite(Math.fround(low + 15 * scale[group]))) scale[group] *= 1 - 2 ** -24;
      if (scale[group] === 0) return;
      for (let i = start; i < end; i++)
        codes[i] = Math.min(15, roundHalfEven((values[i] - low) / scale[group]));
    });
    return {
      scheme: "int4-asymmetric",
      shape,
      groupSize,
      codes: packNibbles(codes, "lowFirst"),
      scale,
      minimum,
    };
  },

  dequantize(packed, out) {
    const to = checkOut("int4-asymmetric", packed, out);
    const { groupSize, codes, scale, minimum } = packed;
    const count = sizeOf(packed.shape);
    const groups = Math.ceil(count / groupSize);
    if (scale.length !== groups || minimum.length !== groups)
      throw new ValueError(
        "int4-asymmetric",
        `${count} values in groups of ${groupSize} must have ${groups} scales and minima, got ${scale.length} and ${minimum.length}.`,
      );
    const unpacked = unpackNibbles(codes, count, "lowFirst");
    for (let i = 0; i < count; i++) {
      const group = Math.floor(i / groupSize);
      to[i] = minimum[group] + unpacked[i] * scale[group];
    }
    return to;
  },

  codes({ shape, codes }) {
    return Int16Array.from(unpackNibbles(codes, sizeOf(shape), "lowFirst"));
  },

  toDevice({ shape, groupSize, codes, scale, minimum }) {
    const layout = layoutNamed("int4-asymmetric", shape, { blockSize: groupSize });
    return { layout, parts: [wordsOfBytes(codes), scale, minimum] };
  },

  fromDevice({ layout: { shape, blockSize: groupSize }, parts: [words, scale, minimum] }) {
    const codes = bytesOfWords(words).slice(0, Math.ceil(sizeOf(shape) / 2));
    return {
      scheme: "int4-asymmetric",
      shape,
      groupSize,
      codes,
      scale: Float32Array.from(scale),
      minimum: Float32Array.from(minimum),
    };
  },

  bytes(shape, options) {
    const { groupSize } = resolveOptions(int4Asymmetric, options);
    const count = sizeOf(shape);
    return Math.ceil(count / 2) + 8 * Math.ceil(count / groupSize);
  },

  // Half a scale, the rounding of the scale (15 times 2^-23 of it, or 2^-150), and of the sum.
  errorBound(values, { groupSize }) {
    const bound = new Float64Array(values.length);
    forBlocks(values.length, groupSize, (start, end) => {
      const [low, high] = rangeOf(values, start, end);
      const largest = Math.max(Math.abs(low), Math.abs(high));
      bound.fill((high - low) * (1 / 30 + 2 ** -20) + largest * 2 ** -22 + 2 ** -145, start, end);
    });
    return bound;
  },
};

function rangeOf(values: Float32Array, start: number, end: number): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (let i = start; i < end; i++) {
    low = Math.min(low, values[i]);
    high = Math.max(high, values[i]);
  }
  return [low, high];
}
