import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "logicalNot", inputs: ["x?"], body: ([x]) => e.not(x) });

/** True where the bool tensor `x` is false. */
export function logicalNot(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
