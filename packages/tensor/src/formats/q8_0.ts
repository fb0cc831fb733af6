import { checkDecode, checkHalfFields, type WeightFormat } from "./format.ts";
import { f16Value } from "./half.ts";

/**
 * GGUF Q8_0, 8.5 bits per value: float16 scale d, then 32 signed bytes q. Value: `q · d`, exact in float32.
 *
 * @see ggml `src/ggml-quants.c`, dequantize_row_q8_0
 */
export const q8_0: WeightFormat = {
  name: "q8_0",
  blockSize: 32,
  blockBytes: 34,

  decode(bytes, count, out) {
    checkDecode(q8_0, bytes, count, out);
    for (let at = 0, to = 0; to < count; at += 34, to += 32) {
      const d = f16Value(bytes[at] | (bytes[at + 1] << 8));
      for (let j = 0; j < 32; j++) out[to + j] = ((bytes[at + 2 + j] << 24) >> 24) * d;
    }
  },

  validate(bytes) {
    checkHalfFields(q8_0, bytes, { scale: 0 });
  },
};
