import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "cos", inputs: ["x"], body: ([x]) => e.cos(x) });

/** Cosine of `x` in radians, elementwise. On a GPU the absolute error grows with |x| (about 2⁻²³·|x|). `x` is of a float type. */
export function cos(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
