import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "round", inputs: ["x"], body: ([x]) => e.round(x) });

/** The nearest whole number, ties to the even one, elementwise. The gradient is 0. `x` is of a float type. */
export function round(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
