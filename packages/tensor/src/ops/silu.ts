import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({
  name: "silu",
  inputs: ["x"],
  body: ([x]) => e.mul(x, e.sigmoid(x)),
  // sigmoid(x)·(1 + x·(1 − sigmoid(x))), without the difference.
  derivative: ([x]) => [e.mul(e.sigmoid(x), e.add(1, e.mul(x, e.sigmoid(e.neg(x)))))],
});

/** `x · sigmoid(x)`, elementwise; also called swish. `x` is of a float type. */
export function silu(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
