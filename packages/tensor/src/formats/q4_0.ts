import { checkDecode, checkHalfFields, type WeightFormat } from "./format.ts";
import { f16Value } from "./half.ts";

/**
 * GGUF Q4_0, 4.5 bits per value: float16 scale d, then 16 bytes whose low nibbles are values 0 to 15 and high nibbles
 * values 16 to 31. Value: `(q − 8) · d`, exact in float32.
 *
 * @see ggml `src/ggml-quants.c`, dequantize_row_q4_0
 */
export const q4_0: WeightFormat = {
  name: "q4_0",
  blockSize: 32,
  blockBytes: 18,

  decode(bytes, count, out) {
    checkDecode(q4_0, bytes, count, out);
    for (let at = 0, to = 0; to < count; at += 18, to += 32) {
      const d = f16Value(bytes[at] | (bytes[at + 1] << 8));
      for (let j = 0; j < 16; j++) {
        const pair = bytes[at + 2 + j];
        out[to + j] = ((pair & 15) - 8) * d;
        out[to + 16 + j] = ((pair >>> 4) - 8) * d;
      }
    }
  },

  // 9 half words a block.
  wgsl: (b) => `fn ${b}_four(e: u32) -> vec4f {
  let h = (e >> 5u) * 9u;
  let w = ${b}_word(h + 1u + ((e & 15u) >> 1u)) >> ((e & 16u) >> 2u);
  return (vec4f((vec4u(w) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(15u)) - vec4f(8f)) * ${b}_half(h);
}`,

  validate(bytes) {
    checkHalfFields(q4_0, bytes, { scale: 0 });
  },
};
