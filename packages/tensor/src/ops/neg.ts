import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "neg", inputs: ["x"], body: ([x]) => e.neg(x), types: "any" });

/** `−x`, elementwise. */
export function neg(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
