import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "log", inputs: ["x"], body: ([x]) => e.log(x) });

/** Natural logarithm of `x`, elementwise; −∞ at 0 and NaN below on the CPU, unspecified there on a GPU. `x` is of a float type. */
export function log(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
