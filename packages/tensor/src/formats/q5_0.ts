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

  // 11 half words a block.
  wgsl: (b) => `fn ${b}_four(e: u32) -> vec4f {
  let h = (e >> 5u) * 11u;
  let w = ${b}_word(h + 3u + ((e & 15u) >> 1u)) >> ((e & 16u) >> 2u);
  let fifth = (vec4u(${b}_word(h + 1u) >> (e & 31u)) >> vec4u(0u, 1u, 2u, 3u)) & vec4u(1u);
  let q = ((vec4u(w) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(15u)) | (fifth << vec4u(4u));
  return (vec4f(q) - vec4f(16f)) * ${b}_half(h);
}`,

  validate(bytes) {
    checkHalfFields(q5_0, bytes, { scale: 0 });
  },
};
