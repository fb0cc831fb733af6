import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "logicalAnd", inputs: ["a?", "b?"], body: ([a, b]) => e.and(a, b) });

/** True where both bool tensors `a` and `b` are true, with broadcasting. */
export function logicalAnd(a: Tensor, b: Tensor): Tensor {
  return apply(op, [a, b], {})[0];
}
