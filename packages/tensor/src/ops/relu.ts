import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "relu", inputs: ["x"], body: ([x]) => e.select(e.le(x, 0), 0, x) });

/** `max(x, 0)`, elementwise. The gradient at 0 is 0, as in PyTorch. `x` is of a float type. */
export function relu(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
