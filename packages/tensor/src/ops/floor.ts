import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "floor", inputs: ["x"], body: ([x]) => e.floor(x) });

/** The largest whole number that is not above `x`, elementwise. The gradient is 0. `x` is of a float type. */
export function floor(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
