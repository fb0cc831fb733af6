import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "abs", inputs: ["x"], body: ([x]) => e.abs(x) });

/** `|x|`, elementwise. The gradient at 0 is 0. `x` is of a float type. */
export function abs(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
