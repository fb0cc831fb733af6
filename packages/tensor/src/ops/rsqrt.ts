import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "rsqrt", inputs: ["x"], body: ([x]) => e.div(1, e.sqrt(x)) });

/** `1 / √x`, elementwise. `x` is of a float type. */
export function rsqrt(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
