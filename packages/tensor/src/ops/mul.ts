import type { Tensor } from "../tensor.ts";
import { binary } from "./pointwise/binary.ts";
import { e } from "./pointwise/expr.ts";

const op = binary("mul", (a, b) => e.mul(a, b), { types: "any" });

/** `a · b`, with broadcasting. One operand may be a number. */
export function mul(a: Tensor | number, b: Tensor | number): Tensor {
  return op(a, b);
}
