import { q4_0 as format } from "@graft/tensor";
import {
  type GgufPacked,
  ggufBytes,
  ggufDequantize,
  ggufFromDevice,
  ggufToDevice,
  scaleError,
  writeScale,
} from "../ggufBlocks.ts";
import { checkValues, forBlocks, type Scheme } from "../scheme.ts";

/**
 * GGUF Q4_0: blocks of 32 nibbles with a float16 scale, `d = (value of largest magnitude) / −8`, so that this value has
 * code −8 and one of the opposite sign is cut off at 7. Codes are made with the unrounded d.
 *
 * @see gguf 0.19.0 `quants.py`, Q4_0.quantize_blocks (ggml `src/ggml-quants.c`, quantize_row_q4_0_ref, without fused rounding)
 */
export const q4_0: Scheme<Record<never, never>, GgufPacked> = {
  name: "q4_0",
  rounding: "addHalfTruncate",
  options: {},
  keepsZero: true,
  keepsNegation: true,

  quantize(values, shape) {
    checkValues("q4_0", values, shape);
    const bytes = new Uint8Array(ggufBytes(format, shape));
    forBlocks(values.length, 32, (start, _, block) => {
      const at = block * 18;
      const { d, inverse } = scaleOf(values, start);
      writeScale("q4_0", bytes, at, d, block);
      for (let j = 0; j < 16; j++)
        bytes[at + 2 + j] =
          encode(values[start + j], inverse) | (encode(values[start + 16 + j], inverse) << 4);
    });
    return { scheme: "q4_0", shape, bytes };
  },

  dequantize(packed, out) {
    return ggufDequantize(format, packed, out);
  },

  codes({ bytes }) {
    const codes = new Int16Array((bytes.length / 18) * 32);
    for (let i = 0; i < codes.length; i++) {
      const pair = bytes[(i >>> 5) * 18 + 2 + (i & 15)];
      codes[i] = ((i & 16) === 0 ? pair & 15 : pair >>> 4) - 8;
    }
    return codes;
  },

  toDevice: ggufToDevice,
  fromDevice: ggufFromDevice,

  bytes(shape) {
    return ggufBytes(format, shape);
  },

  // Half a step, or what is cut off (at most a whole one), and the rounding of the scale times the code, at most 8.
  errorBound(values) {
    const bound = new Float64Array(values.length);
    forBlocks(values.length, 32, (start, end) => {
      const { d, inverse, largest } = scaleOf(values, start);
      let steps = 0.5;
      for (let i = start; i < end; i++) steps = Math.max(steps, values[i] * inverse - 7);
      const step = inverse === 0 ? Math.abs(largest) : steps * Math.abs(d);
      bound.fill(step + 8 * scaleError(d) + Math.abs(largest) * 2 ** -20 + 2 ** -146, start, end);
    });
    return bound;
  },
};

/** Of two values of largest magnitude the first counts. Of a scale whose reciprocal is infinite the block becomes zeros. */
function scaleOf(values: Float32Array, start: number): { d: number; inverse: number; largest: number } {
  let largest = 0;
  for (let i = start; i < start + 32; i++) if (Math.abs(values[i]) > Math.abs(largest)) largest = values[i];
  const d = Math.fround(largest / -8);
  const inverse = Math.fround(1 / d);
  return { d, inverse: Number.isFinite(inverse) ? inverse : 0, largest };
}

function encode(value: number, inverse: number): number {
  return Math.min(15, Math.trunc(Math.fround(Math.fround(value * inverse) + 8.5)));
}
