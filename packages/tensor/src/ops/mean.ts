import { isFloat } from "../dtype.ts";
import { DTypeError, ShapeError } from "../errors.ts";
import { scope } from "../scope.ts";
import { show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { div } from "./div.ts";
import { reducedAxes } from "./reduce.ts";
import { sum } from "./sum.ts";

/**
 * Arithmetic mean over `axes` (all where undefined).
 * @param options.keepDim - keep reduced axes with size 1
 */
export function mean(
  x: Tensor,
  axes?: number | readonly number[],
  options: { keepDim?: boolean } = {},
): Tensor {
  if (!isFloat(x.dtype))
    throw new DTypeError("mean", `x must be a float type, got ${x.dtype}. Use cast first.`);
  const reduced = reducedAxes("mean", x.shape, axes);
  const count = sizeOf(reduced.map((axis) => x.shape[axis]));
  if (count === 0)
    throw new ShapeError("mean", `there must be at least one value to average, got ${show(x.shape)}.`);
  return scope(() => div(sum(x, reduced, options), count));
}
