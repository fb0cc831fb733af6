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
