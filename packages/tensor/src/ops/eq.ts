import type { Tensor } from "../tensor.ts";
import { binary } from "./pointwise/binary.ts";
import { e } from "./pointwise/expr.ts";

const op = binary("eq", (a, b) => e.eq(a, b), { types: "any" });

/** `a = b`, as bool, with broadcasting. One operand may be a number. No gradient. */
export function eq(a: Tensor | number, b: Tensor | number): Tensor {
  return op(a, b);
}
