import { isFloat } from "../dtype.ts";
import { DTypeError, ShapeError } from "../errors.ts";
import { scope } from "../scope.ts";
import { show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { add } from "./add.ts";
import { clamp } from "./clamp.ts";
import { exp } from "./exp.ts";
import { max } from "./extreme.ts";
import { log } from "./log.ts";
import type { ReduceOptions } from "./overAxes.ts";
import { reducedAxes, reducedShape } from "./reduce.ts";
import { inShape } from "./reshape.ts";
import { sub } from "./sub.ts";
import { sum } from "./sum.ts";

/** Keeps x − max a number where all values are infinite. */
const LARGEST = 3e38;

/**
 * `log Σ e^x` over `axes` (all where undefined), without overflow: the maximum is taken out first.
 * `x` is of a float type; f16 and bf16 become f32.
 */
export function logSumExp(x: Tensor, axes?: number | readonly number[], options: ReduceOptions = {}): Tensor {
  if (!isFloat(x.dtype))
    throw new DTypeError("logSumExp", `x must be a float type, got ${x.dtype}. Use cast first.`);
  const reduced = reducedAxes("logSumExp", x.shape, axes);
  if (sizeOf(reduced.map((axis) => x.shape[axis])) === 0)
    throw new ShapeError("logSumExp", `there must be at least one value, got ${show(x.shape)}.`);
  return scope(() => {
    // The result does not depend on what is taken out, so no gradient flows through it.
    const top = clamp(max(x.detach(), reduced, { keepDim: true }), { min: -LARGEST, max: LARGEST });
    const result = add(log(sum(exp(sub(x, top)), reduced, { keepDim: true })), top);
    return inShape(result, reducedShape(x.shape, reduced, options.keepDim ?? false));
  });
}
