import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "sqrt", inputs: ["x"], body: ([x]) => e.sqrt(x) });

/** Square root of `x`, elementwise. Its gradient is infinite at 0. `x` is of a float type. */
export function sqrt(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
