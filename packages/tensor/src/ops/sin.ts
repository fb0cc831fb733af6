import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "sin", inputs: ["x"], body: ([x]) => e.sin(x) });

/** Sine of `x` in radians, elementwise. On a GPU the absolute error grows with |x| (about 2⁻²³·|x|). `x` is of a float type. */
export function sin(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
