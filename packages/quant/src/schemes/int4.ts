import { bytesOfWords, sizeOf, ValueError, wordsOfBytes } from "@graft/tensor";
import { layoutNamed } from "../layout.ts";
import { packNibbles, unpackNibbles } from "../pack.ts";
import { roundHalfEven } from "../rounding.ts";
import {
  absmaxOf,
  checkOut,
  checkValues,
  forBlocks,
  type Packed,
  resolveOptions,
  type Scheme,
} from "../scheme.ts";

export type Int4Options = {
  /** Values that share a scale. */
  readonly groupSize: number;
};

export interface Int4Packed extends Packed {
  readonly groupSize: number;
  /** `[⌈n/2⌉]`, codes plus 8, the first in the low nibble: value j of eight has bits 4j to 4j + 3 of a word. */
  readonly codes: Uint8Array;
  /** `[⌈n/groupSize⌉]`, of groups over the flat values; the last may be short. */
  readonly scale: Float32Array;
}

/** Symmetric INT4: `scale = absmax / 7`, `q = round(x / scale)` in −7..7, value `q · scale`. Off by at most half a scale. */
export const int4: Scheme<Int4Options, Int4Packed> = {
  name: "int4",
  rounding: "halfEven",
  options: { groupSize: [64, 32, 128, 256] },
  keepsZero: true,
  keepsNegation: true,

  quantize(values, shape, options) {
    const { groupSize } = resolveOptions(int4, options);
    checkValues("int4", values, shape);
    const scale = new Float32Array(Math.ceil(values.length / groupSize));
    const codes = new Uint8Array(values.length).fill(8);
    forBlocks(values.length, groupSize, (start, end, group) => {
      scale[group] = absmaxOf(values, start, end) / 7;
      if (scale[group] === 0) return;
      // A subnormal scale is coarse, so that 7 may be passed.
      for (let i = start; i < end; i++)
        codes[i] = 8 + Math.max(-7, Math.min(7, roundHalfEven(values[i] / scale[group])));
    });
    return { scheme: "int4", shape, groupSize, codes: packNibbles(codes, "lowFirst", 8), scale };
  },

  dequantize(packed, out) {
    const to = checkOut("int4", packed, out);
    const { groupSize, codes, scale } = packed;
    const count = sizeOf(packed.shape);
    if (scale.length !== Math.ceil(count / groupSize))
      throw new ValueError(
        "int4",
        `${count} values in groups of ${groupSize} must have ${Math.ceil(count / groupSize)} scales, got ${scale.length}.`,
      );
    const unpacked = unpackNibbles(codes, count, "lowFirst");
    for (let i = 0; i < count; i++) to[i] = (unpacked[i] - 8) * scale[Math.floor(i / groupSize)];
    return to;
  },

  codes({ shape, codes }) {
    return Int16Array.from(unpackNibbles(codes, sizeOf(shape), "lowFirst"), (code) => code - 8);
  },

  toDevice({ shape, groupSize, codes, scale }) {
    const layout = layoutNamed("int4", shape, { blockSize: groupSize });
    return { layout, parts: [wordsOfBytes(codes), scale] };
  },

  fromDevice({ layout: { shape, blockSize: groupSize }, parts: [words, scale] }) {
    const codes = bytesOfWords(words).slice(0, Math.ceil(sizeOf(shape) / 2));
    return { scheme: "int4", shape, groupSize, codes, scale: Float32Array.from(scale) };
  },

  bytes(shape, options) {
    const { groupSize } = resolveOptions(int4, options);
    const count = sizeOf(shape);
    return Math.ceil(count / 2) + 4 * Math.ceil(count / groupSize);
  },

  // Half a scale; the scale itself is rounded by 2^-24 of it or 2^-150, seven times that at code 7.
  errorBound(values, { groupSize }) {
    const bound = new Float64Array(values.length);
    forBlocks(values.length, groupSize, (start, end) => {
      bound.fill(absmaxOf(values, start, end) * (1 / 14 + 2 ** -20) + 2 ** -146, start, end);
    });
    return bound;
  },
};
