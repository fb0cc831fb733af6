import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "softplus", inputs: ["x"], body: ([x]) => e.softplus(x) });

/** `log(1 + e^x)`, elementwise, without overflow. `x` is of a float type. */
export function softplus(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
