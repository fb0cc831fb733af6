import { maximum } from "../ops/maximum.ts";
import { neg } from "../ops/neg.ts";
import type { Tensor } from "../tensor.ts";

/** |x|, for magnitudes of error budgets. */
export function absolute(x: Tensor): Tensor {
  return maximum(x, neg(x));
}
