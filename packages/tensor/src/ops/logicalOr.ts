import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "logicalOr", inputs: ["a?", "b?"], body: ([a, b]) => e.or(a, b) });

/** True where at least one of the bool tensors `a` and `b` is true, with broadcasting. */
export function logicalOr(a: Tensor, b: Tensor): Tensor {
  return apply(op, [a, b], {})[0];
}
