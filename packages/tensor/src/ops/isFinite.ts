import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "isFinite", inputs: ["x"], body: ([x]) => e.finite(x) });

/** True where `x` is neither infinite nor NaN, as bool, elementwise. `x` is of a float type. */
export function isFinite(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
