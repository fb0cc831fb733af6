import type { Tensor } from "../tensor.ts";
import { binary } from "./pointwise/binary.ts";
import { e } from "./pointwise/expr.ts";

const op = binary("pow", (a, b) => e.pow(a, b));

/** `a` to the power `b`, with broadcasting. One operand may be a number. NaN for a negative base with a fractional exponent. */
export function pow(a: Tensor | number, b: Tensor | number): Tensor {
  return op(a, b);
}
