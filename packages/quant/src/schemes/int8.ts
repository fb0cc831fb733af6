import {
  bytesOfWords,
  f16ToF32,
  f32ToF16,
  type Shape,
  ShapeError,
  show,
  sizeOf,
  ValueError,
  wordsOfBytes,
} from "@graft/tensor";
import { layoutNamed } from "../layout.ts";
import { roundHalfEven } from "../rounding.ts";
import { absmaxOf, checkOut, checkValues, forBlocks, type Packed, type Scheme } from "../scheme.ts";

/** Rows of signed bytes with one scale each, as bitsandbytes' `CB` and `SCB`. */
export interface Int8Packed extends Packed {
  /** `[n]`, −127..127 */
  readonly codes: Int8Array;
  /** `[rows]` */
  readonly absmax: Float32Array;
}

/**
 * INT8 by rows: `q = round(x · 127 / absmax)`, value `q · absmax / 127`. Values are rounded to float16 first, as
 * bitsandbytes does, so from 65520 on they are refused and below 6e-8 they vanish; a row of zeros stays zeros.
 *
 * @see Dettmers et al. 2022 (LLM.int8()), section 2.1, https://arxiv.org/abs/2208.07339; bitsandbytes `backends/default/ops.py`
 */
export const int8: Scheme<Record<never, never>, Int8Packed> = {
  name: "int8",
  rounding: "halfEven",
  options: {},
  keepsZero: true,
  keepsNegation: true,

  quantize(values, shape) {
    checkValues("int8", values, shape);
    const halves = f16ToF32(f32ToF16(values));
    const columns = columnsOf(shape);
    const codes = new Int8Array(values.length);
    const absmax = new Float32Array(values.length === 0 ? 0 : values.length / columns);
    forBlocks(values.length, columns, (start, end, row) => {
      absmax[row] = absmaxOf(halves, start, end);
      if (absmax[row] === Infinity) {
        const large = halves.findIndex((value) => Math.abs(value) === Infinity);
        throw new ValueError("int8", `value ${large} must fit in float16, got ${values[large]}.`);
      }
      if (absmax[row] === 0) return;
      const scale = Math.fround(Math.fround(1 / absmax[row]) * 127); // torch's 127 / x
      for (let i = start; i < end; i++) codes[i] = roundHalfEven(Math.fround(halves[i] * scale));
    });
    return { scheme: "int8", shape, codes, absmax };
  },

  dequantize(packed, out) {
    const to = checkOut("int8", packed, out);
    const { codes, absmax, shape } = packed;
    const count = sizeOf(shape);
    const columns = columnsOf(shape);
    if (codes.length !== count || absmax.length * columns !== count)
      throw new ValueError(
        "int8",
        `${show(shape)} must be ${count} codes and a scale for each row, got ${codes.length} and ${absmax.length}.`,
      );
    for (let i = 0; i < count; i++) to[i] = (codes[i] * absmax[Math.floor(i / columns)]) / 127;
    return to;
  },

  codes({ codes }) {
    return Int16Array.from(codes);
  },

  toDevice({ shape, codes, absmax }) {
    return { layout: layoutNamed("int8", shape), parts: [wordsOfBytes(codes), absmax] };
  },

  fromDevice({ layout: { shape }, parts: [words, absmax] }) {
    const codes = new Int8Array(bytesOfWords(words).slice(0, sizeOf(shape)).buffer);
    return { scheme: "int8", shape, codes, absmax: Float32Array.from(absmax) };
  },

  bytes(shape) {
    const count = sizeOf(shape);
    return count === 0 ? 0 : count + (4 * count) / columnsOf(shape);
  },

  // Half a step of the rounded value, plus float16's rounding: 2^-11 of a normal value, 2^-25 below.
  errorBound(values, { shape }) {
    const bound = new Float64Array(values.length);
    forBlocks(values.length, columnsOf(shape), (start, end) => {
      const absmax = absmaxOf(values, start, end) * (1 + 2 ** -11) + 2 ** -25;
      for (let i = start; i < end; i++)
        bound[i] = absmax * (1 / 254 + 2 ** -20) + Math.abs(values[i]) * 2 ** -11 + 2 ** -25;
    });
    return bound;
  },
};

function columnsOf(shape: Shape): number {
  const columns = shape.at(-1);
  if (columns === undefined) throw new ShapeError("int8", "weights must have at least one axis, got [].");
  return columns;
}
