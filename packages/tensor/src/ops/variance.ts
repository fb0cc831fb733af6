import { ShapeError } from "../errors.ts";
import { scope } from "../scope.ts";
import { show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { div } from "./div.ts";
import { mean } from "./mean.ts";
import type { ReduceOptions } from "./overAxes.ts";
import { reducedAxes } from "./reduce.ts";
import { sqrt } from "./sqrt.ts";
import { square } from "./square.ts";
import { sub } from "./sub.ts";
import { sum } from "./sum.ts";

export interface VarianceOptions extends ReduceOptions {
  /** What is taken from the number of values: 1 (default, as PyTorch) for a sample, 0 for a whole population. */
  correction?: number;
}

/**
 * `Σ (x − mean)² / (n − correction)` over `axes` (all where undefined); PyTorch's `var`. `x` is of a float type.
 */
export function variance(
  x: Tensor,
  axes?: number | readonly number[],
  options: VarianceOptions = {},
): Tensor {
  return squaredSpread("variance", x, axes, options);
}

/** The square root of `variance`. Its gradient is infinite where all values are equal. */
export function std(x: Tensor, axes?: number | readonly number[], options: VarianceOptions = {}): Tensor {
  return scope(() => sqrt(squaredSpread("std", x, axes, options)));
}

function squaredSpread(
  who: string,
  x: Tensor,
  axes: number | readonly number[] | undefined,
  { correction = 1, keepDim = false }: VarianceOptions,
): Tensor {
  const reduced = reducedAxes(who, x.shape, axes);
  const count = sizeOf(reduced.map((axis) => x.shape[axis]));
  if (count <= correction)
    throw new ShapeError(
      who,
      `there must be more than ${correction} values, got ${count} in ${show(x.shape)}. Pass { correction: 0 } for a whole population.`,
    );
  return scope(() => {
    const apart = sub(x, mean(x, reduced, { keepDim: true }));
    return div(sum(square(apart), reduced, { keepDim }), count - correction);
  });
}
