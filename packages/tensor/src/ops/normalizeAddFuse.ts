import { Links, type Pass } from "../compile/links.ts";
import type { Run } from "../compile/trace.ts";
import type { View } from "../device/device.ts";
import { sizeOf } from "../shape.ts";
import { addLayerNormOp } from "./addLayerNorm.ts";
import { addRmsNormOp } from "./addRmsNorm.ts";
import { layerNormOps } from "./layerNorm.ts";
import { isSum } from "./pointwise/isSum.ts";
import { rmsNormOps } from "./rmsNorm.ts";

/** The op that also makes the sum, for each norm. */
const sumAndNorm = new Map<unknown, Run["op"]>(
  [[rmsNormOps.op, addRmsNormOp] as const, [layerNormOps.op, addLayerNormOp] as const].map(([norm, both]) => [
    norm,
    both as Run["op"],
  ]), // a run hands attrs back to its op alone
);

/** A sum (of a residual stream and what a layer adds to it) and its norm are made in one pass, where the sum was made. */
export const fuseAddNorms: Pass = (runs, leaving) => {
  const links = new Links(runs, leaving);
  const replaced = new Map<number, Run | undefined>();
  runs.forEach((norm, at) => {
    const op = sumAndNorm.get(norm.op);
    if (op === undefined) return;
    const [x, ...affine] = norm.inputs;
    const from = links.producerOf(x);
    if (from === undefined || replaced.has(from) || !isSum(runs[from])) return;
    const [total] = runs[from].outputs;
    // The norm moves to the sum's place, so its weight and bias must be there by then.
    if (!isWhole(x, total) || !affine.every((part) => links.isStable(part, from - 1, at))) return;
    const shaped = (view: View): View => ({ ...view, shape: x.shape });
    replaced.set(at, undefined);
    replaced.set(from, {
      op,
      attrs: norm.attrs,
      inputs: [...runs[from].inputs.map(shaped), ...affine],
      outputs: [shaped(total), ...norm.outputs],
    });
  });
  return runs.flatMap((run, at) => (replaced.has(at) ? (replaced.get(at) ?? []) : [run]));
};

const isWhole = (x: View, total: View): boolean =>
  x.offset === total.offset && x.dtype === total.dtype && sizeOf(x.shape) === sizeOf(total.shape);
