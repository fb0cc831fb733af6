import { q8_0 as format } from "@graft/tensor";
import {
  type GgufPacked,
  ggufBytes,
  ggufDequantize,
  ggufFromDevice,
  ggufToDevice,
  scaleError,
  writeScale,
} from "../ggufBlocks.ts";
import { roundHalfAway } from "../rounding.ts";
import { absmaxOf, checkValues, forBlocks, type Scheme } from "../scheme.ts";

/**
 * GGUF Q8_0: blocks of 32 signed bytes with a float16 scale, `d = absmax / 127`. Codes are made with the unrounded d.
 *
 * @see ggml `src/ggml-quants.c`, quantize_row_q8_0_ref
 */
export const q8_0: Scheme<Record<never, never>, GgufPacked> = {
  name: "q8_0",
  rounding: "halfAwayFromZero",
  options: {},
  keepsZero: true,
  keepsNegation: true,

  quantize(values, shape) {
    checkValues("q8_0", values, shape);
    const bytes = new Uint8Array(ggufBytes(format, shape));
    forBlocks(values.length, 32, (start, end, block) => {
      const at = block * 34;
      const d = Math.fround(absmaxOf(values, start, end) / 127);
      writeScale("q8_0", bytes, at, d, block);
      const inverse = inverseOf(d);
      for (let i = start; i < end; i++)
        bytes[at + 2 + i - start] = roundHalfAway(Math.fround(values[i] * inverse));
    });
    return { scheme: "q8_0", shape, bytes };
  },

  dequantize(packed, out) {
    return ggufDequantize(format, packed, out);
  },

  codes({ bytes }) {
    const codes = new Int16Array((bytes.length / 34) * 32);
    for (let i = 0; i < codes.length; i++) codes[i] = (bytes[(i >>> 5) * 34 + 2 + (i & 31)] << 24) >> 24;
    return codes;
  },

  toDevice: ggufToDevice,
  fromDevice: ggufFromDevice,

  bytes(shape) {
    return ggufBytes(format, shape);
  },

  // Half a step, and the rounding of the scale times the code, which is at most 127.
  errorBound(values) {
    const bound = new Float64Array(values.length);
    forBlocks(values.length, 32, (start, end) => {
      const absmax = absmaxOf(values, start, end);
      const d = Math.fround(absmax / 127);
      const step = inverseOf(d) === 0 ? absmax : d / 2;
      bound.fill(step + 127 * scaleError(d) + absmax * 2 ** -20 + 2 ** -142, start, end);
    });
    return bound;
  },
};

/** Of a scale so small that its reciprocal is infinite ggml makes NaN; here its block becomes zeros. */
function inverseOf(d: number): number {
  const inverse = Math.fround(1 / d);
  return Number.isFinite(inverse) ? inverse : 0;
}
