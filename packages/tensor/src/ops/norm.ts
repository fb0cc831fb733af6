import { isFloat } from "../dtype.ts";
import { DTypeError } from "../errors.ts";
import { scope } from "../scope.ts";
import type { Tensor } from "../tensor.ts";
import { eq } from "./eq.ts";
import type { ReduceOptions } from "./overAxes.ts";
import { reducedAxes } from "./reduce.ts";
import { sqrt } from "./sqrt.ts";
import { square } from "./square.ts";
import { sum } from "./sum.ts";
import { where } from "./where.ts";

/**
 * Euclidean length `√Σ x²` over `axes` (all where undefined). The gradient is `x / norm`, and 0 where the norm is, as in
 * PyTorch. Squares must stay within f32: lengths below 1e-19 or above 1e19 are lost.
 */
export function norm(x: Tensor, axes?: number | readonly number[], options: ReduceOptions = {}): Tensor {
  if (!isFloat(x.dtype))
    throw new DTypeError("norm", `x must be a float type, got ${x.dtype}. Use cast first.`);
  return scope(() => {
    const squares = sum(square(x), reducedAxes("norm", x.shape, axes), options);
    const none = eq(squares, 0);
    return where(none, 0, sqrt(where(none, 1, squares)));
  });
}
