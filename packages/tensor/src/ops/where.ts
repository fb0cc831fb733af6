import { scope } from "../scope.ts";
import type { Tensor } from "../tensor.ts";
import { fillOp } from "./fill.ts";
import { apply, applyOn } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const both = pointwise({
  name: "where",
  inputs: ["condition?", "a", "b"],
  body: ([condition, a, b]) => e.select(condition, a, b),
  types: "any",
});
const right = pointwise({
  name: "where",
  inputs: ["condition?", "a"],
  body: ([condition, a], param) => e.select(condition, a, param("b")),
  types: "any",
});
const left = pointwise({
  name: "where",
  inputs: ["condition?", "b"],
  body: ([condition, b], param) => e.select(condition, param("a"), b),
  types: "any",
});

/**
 * `a` where `condition` holds, `b` elsewhere, with broadcasting. `condition` is bool; `a` and `b` are tensors of one
 * number type, or numbers (f32 where both are). A value that is not chosen gets no gradient, even if it is not finite.
 */
export function where(condition: Tensor, a: Tensor | number, b: Tensor | number): Tensor {
  if (typeof a !== "number") {
    return typeof b === "number"
      ? apply(right, [condition, a], { b })[0]
      : apply(both, [condition, a, b], {})[0];
  }
  return scope(() => apply(left, [condition, typeof b === "number" ? scalar(condition, b) : b], { a })[0]);
}

function scalar(like: Tensor, value: number): Tensor {
  return applyOn(like.device, fillOp, [], { shape: [], dtype: "f32", value }, (meta, storage, offset) =>
    like.spawn(meta, storage, offset),
  )[0];
}
