import { fp4Format } from "@graft/tensor";
import { codebookScheme } from "../codebook.ts";

/**
 * bitsandbytes' 4-bit floats: sign and a magnitude in twelfths. Very small positive values get code 8, the second zero.
 * A value lies at most 1/6 of its block's absmax from what comes back.
 */
export const fp4 = codebookScheme("fp4", fp4Format.table, true);
