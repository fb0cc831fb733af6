import { checkDecode, checkHalfFields, type WeightFormat } from "./format.ts";
import { f16Value } from "./half.ts";

/**
 * GGUF Q4_1, 5 bits per value: float16 scale d, float16 minimum m, then 16 bytes of nibbles as in Q4_0.
 * Value: `q · d + m`, rounded to float32 once (the float64 sum is exact).
 *
 * @see ggml `src/ggml-quants.c`, dequantize_row_q4_1
 */
export const q4_1: WeightFormat = {
  name: "q4_1",
  blockSize: 32,
  blockBytes: 20,

  decode(bytes, count, out) {
    checkDecode(q4_1, bytes, count, out);
    for (let at = 0, to = 0; to < count; at += 20, to += 32) {
      const d = f16Value(bytes[at] | (bytes[at + 1] << 8));
      const m = f16Value(bytes[at + 2] | (bytes[at + 3] << 8));
      for (let j = 0; j < 16; j++) {
        const pair = bytes[at + 4 + j];
        out[to + j] = (pair & 15) * d + m;
        out[to + 16 + j] = (pair >>> 4) * d + m;
      }
    }
  },

  // 10 half words a block.
  wgsl: (b) => `fn ${b}_four(e: u32) -> vec4f {
  let h = (e >> 5u) * 10u;
  let w = ${b}_word(h + 2u + ((e & 15u) >> 1u)) >> ((e & 16u) >> 2u);
  return fma(vec4f((vec4u(w) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(15u)), vec4f(${b}_half(h)), vec4f(${b}_half(h + 1u)));
}`,

  validate(bytes) {
    checkHalfFields(q4_1, bytes, { scale: 0, minimum: 2 });
  },
};
