import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({
  name: "sign",
  inputs: ["x"],
  body: ([x]) => e.select(e.lt(0, x), 1, e.select(e.lt(x, 0), -1, 0)),
});

/** −1, 0 or 1 as `x` is negative, zero or positive, elementwise. The gradient is 0. `x` is of a float type. */
export function sign(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
