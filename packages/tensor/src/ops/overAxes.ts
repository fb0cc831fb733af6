import { scope } from "../scope.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { permute } from "./permute.ts";
import { reducedAxes, reducedShape, type Span, spanOf } from "./reduce.ts";
import { inShape } from "./reshape.ts";

/** What a reduction is called with, besides its tensor. */
export interface ReduceOptions {
  /** Keep reduced axes with size 1. Default false. */
  keepDim?: boolean;
}

/**
 * Brings the reduced axes side by side, reduces by `run` (from `[outer, n, inner]`, any shape, to as many values as outer
 * and inner hold) and gives the result its shape.
 */
export function reduceOver(
  who: string,
  x: Tensor,
  axes: number | readonly number[] | undefined,
  { keepDim = false }: ReduceOptions,
  run: (x: Tensor, span: Span) => Tensor,
): Tensor {
  const reduced = reducedAxes(who, x.shape, axes);
  const shape = reducedShape(x.shape, reduced, keepDim);
  const span = spanOf(x.shape, reduced);
  if (span !== undefined) return scope(() => inShape(run(x, span), shape));
  const kept = x.shape.map((_, i) => i).filter((i) => !reduced.includes(i));
  const outer = sizeOf(kept.map((i) => x.shape[i]));
  const n = sizeOf(reduced.map((i) => x.shape[i]));
  return scope(() => inShape(run(permute(x, [...kept, ...reduced]), { outer, n, inner: 1 }), shape));
}
