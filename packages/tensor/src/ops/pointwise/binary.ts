import type { Tensor } from "../../tensor.ts";
import { apply, type Op } from "../op.ts";
import type { Expr } from "./expr.ts";
import { type Params, type PointwiseSpec, pointwise } from "./pointwise.ts";

export interface BinaryOp {
  (a: Tensor | number, b: Tensor | number): Tensor;
  /** The records behind the function: both tensors, number on the right, number on the left. */
  readonly ops: readonly Op<Params>[];
}

/** A function of two operands of which either may be a number (not both). */
export function binary(
  name: string,
  body: (a: Expr, b: Expr) => Expr,
  options: Pick<PointwiseSpec, "types"> = {},
): BinaryOp {
  const both = pointwise({ name, inputs: ["a", "b"], body: ([a, b]) => body(a, b), ...options });
  const right = pointwise({ name, inputs: ["a"], body: ([a], param) => body(a, param("b")), ...options });
  const left = pointwise({ name, inputs: ["b"], body: ([b], param) => body(param("a"), b), ...options });
  const call = (a: Tensor | number, b: Tensor | number): Tensor => {
    if (typeof a !== "number")
      return typeof b === "number" ? apply(right, [a], { b })[0] : apply(both, [a, b], {})[0];
    if (typeof b !== "number") return apply(left, [b], { a })[0];
    throw new TypeError(`${name}: one operand must be a tensor, got two numbers.`);
  };
  return Object.assign(call, { ops: [both, right, left] });
}
