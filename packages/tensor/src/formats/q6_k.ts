import { checkDecode, checkHalfFields, type WeightFormat } from "./format.ts";
import { f16Value } from "./half.ts";

/**
 * GGUF Q6_K, 6.5625 bits per value: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed bytes s (one scale
 * for 16 values), float16 scale d. Value: `(q − 32) · s · d`, exact in float32. Of each half of 128 values, quarter k
 * (32 values) takes its nibbles from bytes `32·(k mod 2)` on, low ones for k < 2, and bits 2k and 2k + 1 of the pairs.
 *
 * @see ggml `src/ggml-quants.c`, dequantize_row_q6_K
 */
export const q6_k: WeightFormat = {
  name: "q6_k",
  blockSize: 256,
  blockBytes: 210,

  decode(bytes, count, out) {
    checkDecode(q6_k, bytes, count, out);
    for (let at = 0, to = 0; to < count; at += 210, to += 256) {
      const d = f16Value(bytes[at + 208] | (bytes[at + 209] << 8));
      for (let part = 0; part < 8; part++) {
        const half = part >>> 2;
        const quarter = part & 3;
        const low = at + half * 64 + (quarter & 1) * 32;
        const high = at + 128 + half * 32;
        const scales = at + 192 + part * 2;
        for (let l = 0; l < 32; l++) {
          const nibble = (bytes[low + l] >>> ((quarter >>> 1) * 4)) & 15;
          const pair = (bytes[high + l] >>> (quarter * 2)) & 3;
          const scale = (bytes[scales + (l >>> 4)] << 24) >> 24;
          out[to + part * 32 + l] = d * scale * ((nibble | (pair << 4)) - 32);
        }
      }
    }
  },

  // 105 half words a block.
  wgsl: (b) => `fn ${b}_four(e: u32) -> vec4f {
  let h = (e >> 8u) * 105u;
  let part = (e >> 5u) & 7u;
  let side = part >> 2u;
  let quarter = part & 3u;
  let l = (e & 31u) >> 1u;
  let low = ${b}_word(h + side * 32u + (quarter & 1u) * 16u + l) >> ((quarter >> 1u) << 2u);
  let high = ${b}_word(h + 64u + side * 16u + l) >> (quarter << 1u);
  let q = ((vec4u(low) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(15u)) | (((vec4u(high) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(3u)) << vec4u(4u));
  let place = (part << 1u) + (l >> 3u);
  let s = extractBits(bitcast<i32>(${b}_word(h + 96u + (place >> 1u))), (place & 1u) << 3u, 8u);
  return (vec4f(q) - vec4f(32f)) * (${b}_half(h + 104u) * f32(s));
}`,

  validate(bytes) {
    checkHalfFields(q6_k, bytes, { scale: 208 });
  },
};
