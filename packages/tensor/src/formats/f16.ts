import { checkDecode, checkHalfFields, halfWords, type WeightFormat } from "./format.ts";
import { f16ToF32 } from "./half.ts";

/** IEEE half precision: 1 sign, 5 exponent, 10 fraction bits. */
export const f16: WeightFormat = {
  name: "f16",
  blockSize: 1,
  blockBytes: 2,

  decode(bytes, count, out) {
    checkDecode(f16, bytes, count, out);
    f16ToF32(halfWords(bytes), out);
  },

  validate(bytes) {
    checkHalfFields(f16, bytes, { value: 0 });
  },
};
