import { fromArray, zeros } from "../create.ts";
import type { OpCases } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { type Reduction, reductionEdges, reductionSamples } from "../testing/reductions.ts";
import { add } from "./add.ts";
import { max } from "./extreme.ts";
import { logSumExp } from "./logSumExp.ts";

const reduction: Reduction = {
  call: logSumExp,
  magnitude: (x, axes, options) => add(max(absolute(x), axes, options), 1),
  kinds: ["normal", "halves"],
  least: 1,
};

export const logSumExpCases: OpCases = {
  name: "logSumExp",
  torch: "torch.logsumexp",
  samples: reductionSamples(reduction),
  edges: [
    ...reductionEdges(reduction),
    {
      inputs: [{ shape: [2, 3], values: [1000, 999, -1000, -1000, -1001, -999.5] }],
      call: (x) => logSumExp(x, 1),
      magnitude: (x) => add(max(absolute(x), 1), 1),
      why: "large values",
    },
  ],
  errors: [
    {
      call: (device) => logSumExp(zeros(device, [2]), 1),
      message: "logSumExp: axis must be in [-1, 1), got 1 for [2].",
    },
    {
      call: (device) => logSumExp(zeros(device, [0])),
      message: "logSumExp: there must be at least one value, got [0].",
    },
    {
      call: (device) => logSumExp(fromArray(device, [1], [1], { dtype: "i32" })),
      message: "logSumExp: x must be a float type, got i32. Use cast first.",
    },
  ],
  ulps: 220,
  ulpsWhy:
    "the sum, one rounding for each of at most 200 terms, which the logarithm makes absolute; its exponentials",
};
