import { DTypeError } from "../errors.ts";
import type { Tensor } from "../tensor.ts";
import { where } from "./where.ts";

/** `value` where the bool tensor `mask` is true, `x` elsewhere, with broadcasting. Use a large finite value, not −∞. */
export function maskedFill(x: Tensor, mask: Tensor, value: number): Tensor {
  if (mask.dtype !== "bool") throw new DTypeError("maskedFill", `mask must be bool, got ${mask.dtype}.`);
  return where(mask, value, x);
}
