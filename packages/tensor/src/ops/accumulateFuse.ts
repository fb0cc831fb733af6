import { Links, type Pass } from "../compile/links.ts";
import type { Run } from "../compile/trace.ts";
import type { View } from "../device/device.ts";
import { addIntoOp, copyOp } from "./copyInto.ts";
import type { Op } from "./op.ts";
import { isSum } from "./pointwise/isSum.ts";

/** A sum that is copied back over one of its terms (a gradient that accumulates) is added in place. */
export const fuseAccumulation: Pass = (runs, leaving) => {
  const links = new Links(runs, leaving);
  const gone = new Set<number>();
  const added = runs.map((run, at): Run => {
    if (run.op !== (copyOp as Op<unknown>)) return run;
    const [target, source] = run.inputs;
    const producer = links.producerOf(source);
    if (producer === undefined || !isSum(runs[producer]) || !links.isFeeding(source, producer, at))
      return run;
    const { inputs } = runs[producer];
    const own = inputs.findIndex((input) => isSame(input, target));
    if (own < 0 || isSame(inputs[1 - own], target)) return run;
    gone.add(producer);
    return {
      op: addIntoOp as Op<unknown>,
      attrs: { scale: 1 },
      inputs: [target, inputs[1 - own]],
      outputs: [],
    };
  });
  return added.filter((_, at) => !gone.has(at));
};

const isSame = (a: View, b: View): boolean => a.storage === b.storage && a.offset === b.offset;
