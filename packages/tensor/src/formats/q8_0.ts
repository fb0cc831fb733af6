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

  // 17 half words a block.
  wgsl: (b) => `fn ${b}_four(e: u32) -> vec4f {
  let h = (e >> 5u) * 17u;
  let w = bitcast<i32>(${b}_word(h + 1u + ((e & 31u) >> 1u)));
  return vec4f((vec4i(w) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u)) * ${b}_half(h);
}`,

  validate(bytes) {
    checkHalfFields(q8_0, bytes, { scale: 0 });
  },
};
