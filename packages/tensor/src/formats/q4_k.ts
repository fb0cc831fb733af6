import { checkDecode, checkHalfFields, type WeightFormat } from "./format.ts";
import { f16Value } from "./half.ts";

/**
 * GGUF Q4_K, 4.5 bits per value: float16 scale d, float16 scale dmin of the minima, 12 bytes with eight pairs of a 6-bit
 * scale s and a 6-bit minimum m (one pair for 32 values), then 128 bytes of nibbles: each 32 bytes hold 64 values, the low
 * nibbles first. Value: `d·s·q − dmin·m`, rounded to float32 once (the float64 difference is exact).
 *
 * @see ggml `src/ggml-quants.c`, dequantize_row_q4_K and get_scale_min_k4
 */
export const q4_k: WeightFormat = {
  name: "q4_k",
  blockSize: 256,
  blockBytes: 144,

  decode(bytes, count, out) {
    checkDecode(q4_k, bytes, count, out);
    for (let at = 0, to = 0; to < count; at += 144, to += 256) {
      const d = f16Value(bytes[at] | (bytes[at + 1] << 8));
      const dmin = f16Value(bytes[at + 2] | (bytes[at + 3] << 8));
      for (let part = 0; part < 8; part++) {
        const scale = d * scaleOf(bytes, at + 4, part);
        const minimum = dmin * minimumOf(bytes, at + 4, part);
        const nibbles = at + 16 + (part >>> 1) * 32;
        const shift = (part & 1) * 4;
        for (let j = 0; j < 32; j++)
          out[to + part * 32 + j] = ((bytes[nibbles + j] >>> shift) & 15) * scale - minimum;
      }
    }
  },

  // 36 words a block: one of scales, three of pairs, 32 of nibbles.
  wgsl: (b) => `fn ${b}_four(e: u32) -> vec4f {
  let at = (e >> 8u) * 36u;
  let part = (e >> 5u) & 7u;
  let shift = (part & 3u) << 3u;
  let x = (${b}_blocks_at(at + 1u) >> shift) & 255u;
  let y = (${b}_blocks_at(at + 2u) >> shift) & 255u;
  let z = (${b}_blocks_at(at + 3u) >> shift) & 255u;
  let s = select((z & 15u) | ((x >> 6u) << 4u), x & 63u, part < 4u);
  let m = select((z >> 4u) | ((y >> 6u) << 4u), y & 63u, part < 4u);
  let w = ${b}_blocks_at(at + 4u + ((part >> 1u) << 3u) + ((e & 31u) >> 2u)) >> ((part & 1u) << 2u);
  let d = unpack2x16float(${b}_blocks_at(at));
  return fma(vec4f((vec4u(w) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(15u)), vec4f(d.x * f32(s)), vec4f(-(d.y * f32(m))));
}`,

  validate(bytes) {
    checkHalfFields(q4_k, bytes, { scale: 0, "scale of the minima": 2 });
  },
};

// Pairs 0 to 3: scale in the low 6 bits of byte j, minimum in those of byte j + 4. Pairs 4 to 7: their low 4 bits share
// byte j + 4, their high 2 bits are the top bits of bytes j − 4 and j.
function scaleOf(bytes: Uint8Array, at: number, j: number): number {
  return j < 4 ? bytes[at + j] & 63 : (bytes[at + j + 4] & 15) | ((bytes[at + j - 4] >>> 6) << 4);
}

function minimumOf(bytes: Uint8Array, at: number, j: number): number {
  return j < 4 ? bytes[at + j + 4] & 63 : (bytes[at + j + 4] >>> 4) | ((bytes[at + j] >>> 6) << 4);
}
