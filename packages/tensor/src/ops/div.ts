import type { Tensor } from "../tensor.ts";
import { binary } from "./pointwise/binary.ts";
import { e } from "./pointwise/expr.ts";

const op = binary("div", (a, b) => e.div(a, b));

/** `a / b`, with broadcasting. One operand may be a number. Floats only. */
export function div(a: Tensor | number, b: Tensor | number): Tensor {
  return op(a, b);
}
