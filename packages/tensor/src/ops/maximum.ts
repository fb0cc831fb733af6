import type { Tensor } from "../tensor.ts";
import { binary } from "./pointwise/binary.ts";
import { e } from "./pointwise/expr.ts";

const op = binary("maximum", (a, b) => e.max(a, b), { types: "any" });

/** The larger of `a` and `b`, with broadcasting. One operand may be a number. On a tie each gets half of the gradient, as in PyTorch. */
export function maximum(a: Tensor | number, b: Tensor | number): Tensor {
  return op(a, b);
}
