import { checkDecode, checkHalfFields, type WeightFormat, word32 } from "./format.ts";
import { f16Value } from "./half.ts";

/**
 * GGUF Q5_0, 5.5 bits per value: float16 scale d, 32 bits of which bit j is the fifth bit of value j, then 16 bytes of
 * nibbles as in Q4_0. Value: `(q − 16) · d`, exact in float32.
 *
 * @see ggml `src/ggml-quants.c`, dequantize_row_q5_0
 */
export const q5_0: WeightFormat = {
  name: "q5_0",
  blockSize: 32,
  blockBytes: 22,

  decode(bytes, count, out) {
    checkDecode(q5_0, bytes, count, out);
    for (let at = 0, to = 0; to < count; at += 22, to += 32) {
      const d = f16Value(bytes[at] | (bytes[at + 1] << 8));
      const high = word32(bytes, at + 2);
      for (let j = 0; j < 16; j++) {
        const pair = bytes[at + 6 + j];
        out[to + j] = (((pair & 15) | (((high >>> j) & 1) << 4)) - 16) * d;
        out[to + 16 + j] = (((pair >>> 4) | (((high >>> (j + 16)) & 1) << 4)) - 16) * d;
      }
    }
  },

  validate(bytes) {
    checkHalfFields(q5_0, bytes, { scale: 0 });
  },
};
