import type { Tensor } from "../tensor.ts";
import { binary } from "./pointwise/binary.ts";
import { e } from "./pointwise/expr.ts";

const op = binary("gt", (a, b) => e.lt(b, a), { types: "any" });

/** `a > b`, as bool, with broadcasting. One operand may be a number. No gradient. */
export function gt(a: Tensor | number, b: Tensor | number): Tensor {
  return op(a, b);
}
