import { codebookFormat } from "./codebook.ts";

const magnitudes = [0, 0.0625, 8, 12, 4, 6, 2, 3];

/**
 * 4-bit floats as bitsandbytes codes them: bit 3 is the sign, the others choose a magnitude, in twelfths. Code 8 is a
 * second zero.
 *
 * @see bitsandbytes `functional.py`, get_4bit_type
 */
export const fp4 = codebookFormat(
  "fp4",
  // 0 − x: of zero it is no negative zero.
  [...magnitudes, ...magnitudes.map((value) => 0 - value)].map((value) => value / 12),
);
