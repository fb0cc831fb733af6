import { Links, type Pass } from "../compile/links.ts";
import type { Run } from "../compile/trace.ts";
import type { View } from "../device/device.ts";
import { sizeOf } from "../shape.ts";
import { addRmsNormOp } from "./addRmsNorm.ts";
import { isSum } from "./pointwise/isSum.ts";
import { rmsNormOps } from "./rmsNorm.ts";

/** A sum (of a residual stream and what a layer adds to it) and its RMS norm are made in one pass, where the sum was made. */
export const fuseAddNorms: Pass = (runs, leaving) => {
  const links = new Links(runs, leaving);
  const replaced = new Map<number, Run | undefined>();
  runs.forEach((norm, at) => {
    if (norm.op !== (rmsNormOps.op as unknown)) return;
    const [x, weight] = norm.inputs;
    const from = links.producerOf(x);
    if (from === undefined || replaced.has(from) || !isSum(runs[from])) return;
    const [total] = runs[from].outputs;
    // The norm moves to the sum's place, so its weight must be there by then.
    if (!isWhole(x, total) || (weight !== undefined && !links.isStable(weight, from - 1, at))) return;
    const shaped = (view: View): View => ({ ...view, shape: x.shape });
    replaced.set(at, undefined);
    replaced.set(from, {
      op: addRmsNormOp as Run["op"], // a run hands attrs back to its op alone
      attrs: norm.attrs,
      inputs: [...runs[from].inputs.map(shaped), ...norm.inputs.slice(1)],
      outputs: [shaped(total), ...norm.outputs],
    });
  });
  return runs.flatMap((run, at) => (replaced.has(at) ? (replaced.get(at) ?? []) : [run]));
};

const isWhole = (x: View, total: View): boolean =>
  x.offset === total.offset && x.dtype === total.dtype && sizeOf(x.shape) === sizeOf(total.shape);
