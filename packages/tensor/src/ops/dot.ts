import { ShapeError } from "../errors.ts";
import { scope } from "../scope.ts";
import { show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { mul } from "./mul.ts";
import { unsqueeze } from "./reshape.ts";
import { sum } from "./sum.ts";

/** `Σ a[i]·b[i]` of two vectors [n], a scalar. */
export function dot(a: Tensor, b: Tensor): Tensor {
  if (a.shape.length !== 1 || b.shape.length !== 1 || a.shape[0] !== b.shape[0])
    throw new ShapeError(
      "dot",
      `a and b must be vectors of one length, got a ${show(a.shape)} and b ${show(b.shape)}.`,
    );
  return scope(() => sum(mul(a, b)));
}

/** `y[i, j] = a[i]·b[j]` of two vectors [n] and [m]: [n, m]. */
export function outer(a: Tensor, b: Tensor): Tensor {
  if (a.shape.length !== 1 || b.shape.length !== 1)
    throw new ShapeError("outer", `a and b must be vectors, got a ${show(a.shape)} and b ${show(b.shape)}.`);
  return scope(() => mul(unsqueeze(a, 1), b));
}
