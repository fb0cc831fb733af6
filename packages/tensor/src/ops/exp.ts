import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "exp", inputs: ["x"], body: ([x]) => e.exp(x) });

/** e to the power `x`, elementwise. `x` is of a float type. */
export function exp(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
