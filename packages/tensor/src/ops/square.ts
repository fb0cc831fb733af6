import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "square", inputs: ["x"], body: ([x]) => e.mul(x, x), types: "any" });

/** `x²`, elementwise. */
export function square(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
