import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({
  name: "sigmoid",
  inputs: ["x"],
  body: ([x]) => e.sigmoid(x),
  // 1 − sigmoid(x) would lose the digits of a small difference.
  derivative: ([x]) => [e.mul(e.sigmoid(x), e.sigmoid(e.neg(x)))],
});

/** `1 / (1 + e^−x)`, elementwise. `x` is of a float type. */
export function sigmoid(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
