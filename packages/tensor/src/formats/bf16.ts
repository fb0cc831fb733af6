import { ValueError } from "../errors.ts";
import { checkDecode, checkWholeBlocks, halfWords, type WeightFormat } from "./format.ts";
import { bf16ToF32 } from "./half.ts";

/** bfloat16: the upper half of a float32, so 1 sign, 8 exponent, 7 fraction bits. */
export const bf16: WeightFormat = {
  name: "bf16",
  blockSize: 1,
  blockBytes: 2,

  decode(bytes, count, out) {
    checkDecode(bf16, bytes, count, out);
    bf16ToF32(halfWords(bytes), out);
  },

  validate(bytes) {
    checkWholeBlocks(bf16, bytes);
    for (let at = 0; at < bytes.length; at += 2) {
      if ((bytes[at + 1] & 0x7f) === 0x7f && (bytes[at] & 0x80) !== 0) {
        const isNaN = (bytes[at] & 0x7f) !== 0;
        throw new ValueError("bf16", `value ${at / 2} must be finite, got ${isNaN ? "NaN" : "Infinity"}.`);
      }
    }
  },
};
