import { ValueError } from "../errors.ts";
import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { type Expr, e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const raise = (x: Expr, low: Expr): Expr => e.select(e.le(x, low), low, x);
const lower = (x: Expr, high: Expr): Expr => e.select(e.le(high, x), high, x);

const below = pointwise({
  name: "clamp",
  inputs: ["x"],
  body: ([x], param) => raise(x, param("min")),
  derivative: ([x], param) => [e.select(e.lt(param("min"), x), 1, 0)],
  types: "any",
});
const above = pointwise({
  name: "clamp",
  inputs: ["x"],
  body: ([x], param) => lower(x, param("max")),
  derivative: ([x], param) => [e.select(e.lt(x, param("max")), 1, 0)],
  types: "any",
});
const both = pointwise({
  name: "clamp",
  inputs: ["x"],
  body: ([x], param) => lower(raise(x, param("min")), param("max")),
  derivative: ([x], param) => [e.select(e.and(e.lt(param("min"), x), e.lt(x, param("max"))), 1, 0)],
  types: "any",
});

/**
 * `x` brought into [min, max], elementwise; `max` where the bounds cross. Either bound may be left out.
 * The gradient is 0 at the bounds and outside, as in PyTorch.
 */
export function clamp(x: Tensor, { min, max }: { min?: number; max?: number }): Tensor {
  if (min === undefined && max === undefined)
    throw new ValueError("clamp", "min or max must be given, got neither.");
  if (max === undefined) return apply(below, [x], { min: min ?? 0 })[0];
  if (min === undefined) return apply(above, [x], { max })[0];
  return apply(both, [x], { min, max })[0];
}
