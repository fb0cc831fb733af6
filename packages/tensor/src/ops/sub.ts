import type { Tensor } from "../tensor.ts";
import { binary } from "./pointwise/binary.ts";
import { e } from "./pointwise/expr.ts";

const op = binary("sub", (a, b) => e.sub(a, b), { types: "any" });

/** `a − b`, with broadcasting. One operand may be a number. */
export function sub(a: Tensor | number, b: Tensor | number): Tensor {
  return op(a, b);
}
