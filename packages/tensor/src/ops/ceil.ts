import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "ceil", inputs: ["x"], body: ([x]) => e.ceil(x) });

/** The smallest whole number that is not below `x`, elementwise. The gradient is 0. `x` is of a float type. */
export function ceil(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
