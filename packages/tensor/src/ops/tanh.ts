import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({
  name: "tanh",
  inputs: ["x"],
  body: ([x]) => e.tanh(x),
  // 1 − tanh²(x) = 4·sigmoid(2x)·sigmoid(−2x), which keeps its digits where tanh is near ±1.
  derivative: ([x]) => [e.mul(e.mul(4, e.sigmoid(e.mul(2, x))), e.sigmoid(e.mul(-2, x)))],
});

/** Hyperbolic tangent of `x`, elementwise. `x` is of a float type. */
export function tanh(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
