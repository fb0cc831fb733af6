import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "tanh", inputs: ["x"], body: ([x]) => e.tanh(x) });

/** Hyperbolic tangent of `x`, elementwise. `x` is of a float type. */
export function tanh(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
