import { checkDecode, checkHalfFields, type WeightFormat, word32 } from "./format.ts";
import { f16Value } from "./half.ts";

/**
 * GGUF Q5_1, 6 bits per value: float16 scale d, float16 minimum m, 32 bits of which bit j is the fifth bit of value j,
 * then 16 bytes of nibbles as in Q4_0. Value: `q · d + m`, rounded to float32 once (the float64 sum is exact).
 *
 * @see ggml `src/ggml-quants.c`, dequantize_row_q5_1
 */
export const q5_1: WeightFormat = {
  name: "q5_1",
  blockSize: 32,
  blockBytes: 24,

  decode(bytes, count, out) {
    checkDecode(q5_1, bytes, count, out);
    for (let at = 0, to = 0; to < count; at += 24, to += 32) {
      const d = f16Value(bytes[at] | (bytes[at + 1] << 8));
      const m = f16Value(bytes[at + 2] | (bytes[at + 3] << 8));
      const high = word32(bytes, at + 4);
      for (let j = 0; j < 16; j++) {
        const pair = bytes[at + 8 + j];
        out[to + j] = ((pair & 15) | (((high >>> j) & 1) << 4)) * d + m;
        out[to + 16 + j] = ((pair >>> 4) | (((high >>> (j + 16)) & 1) << 4)) * d + m;
      }
    }
  },

  validate(bytes) {
    checkHalfFields(q5_1, bytes, { scale: 0, minimum: 2 });
  },
};
