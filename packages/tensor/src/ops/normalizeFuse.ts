import { Links, type Pass } from "../compile/links.ts";
import type { Run } from "../compile/trace.ts";
import { isNormGradient } from "./normalize.ts";
import { isSum } from "./pointwise/isSum.ts";

/** The input gradient of a norm that is added to another gradient (of a residual stream) is made with it in one pass. */
export const fuseNormGradients: Pass = (runs, leaving) => {
  const links = new Links(runs, leaving);
  const replaced = new Map<number, Run | undefined>();
  runs.forEach((run, at) => {
    if (!isSum(run)) return;
    for (const side of [0, 1]) {
      const producer = links.producerOf(run.inputs[side]);
      if (producer === undefined || replaced.has(producer)) continue;
      const { op, attrs, inputs, outputs } = runs[producer];
      if (!isNormGradient(op, attrs) || attrs.residual) continue;
      if (!links.isFeeding(run.inputs[side], producer, at)) continue;
      replaced.set(producer, undefined);
      replaced.set(at, {
        op,
        attrs: { ...attrs, residual: true },
        inputs: [...inputs, run.inputs[1 - side]],
        outputs: run.outputs.map((out) => ({ ...out, shape: outputs[0].shape })),
      });
      return;
    }
  });
  return runs.flatMap((run, at) => (replaced.has(at) ? (replaced.get(at) ?? []) : [run]));
};
