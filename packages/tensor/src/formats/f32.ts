import { ValueError } from "../errors.ts";
import { checkDecode, checkWholeBlocks, type WeightFormat } from "./format.ts";

/** Plain float32. */
export const f32: WeightFormat = {
  name: "f32",
  blockSize: 1,
  blockBytes: 4,

  decode(bytes, count, out) {
    checkDecode(f32, bytes, count, out);
    new Uint8Array(out.buffer, out.byteOffset, count * 4).set(bytes);
  },

  validate(bytes) {
    checkWholeBlocks(f32, bytes);
    for (let at = 0; at < bytes.length; at += 4) {
      if ((bytes[at + 3] & 0x7f) === 0x7f && (bytes[at + 2] & 0x80) !== 0) {
        const isNaN = (bytes[at + 2] & 0x7f) !== 0 || bytes[at + 1] !== 0 || bytes[at] !== 0;
        throw new ValueError("f32", `value ${at / 4} must be finite, got ${isNaN ? "NaN" : "Infinity"}.`);
      }
    }
  },
};
