import { fromArray, zeros } from "../create.ts";
import type { OpCases } from "../testing/cases.ts";
import { type Reduction, reductionEdges, reductionSamples } from "../testing/reductions.ts";
import { add } from "./add.ts";
import { mean } from "./mean.ts";
import { square } from "./square.ts";
import { std, variance } from "./variance.ts";

const squares: Reduction["magnitude"] = (x, axes, options) => mean(square(x), axes, options);

const varianceReduction: Reduction = {
  call: variance,
  magnitude: (x, axes, options) => add(squares(x, axes, options), variance(x, axes, options)),
  kinds: ["normal", "halves"],
  least: 2,
};

export const varianceCases: OpCases = {
  name: "variance",
  torch: "torch.var",
  samples: reductionSamples(varianceReduction),
  edges: [
    ...reductionEdges(varianceReduction),
    {
      inputs: [{ shape: [2, 2], values: [1, 2, 3, 5] }],
      call: (x) => variance(x, 1, { correction: 0 }),
      why: "of a whole population",
    },
    {
      inputs: [{ shape: [1], values: [3] }],
      call: (x) => variance(x, 0, { correction: 0 }),
      why: "of one value",
    },
  ],
  errors: [
    {
      call: (device) => variance(zeros(device, [2, 1]), 1),
      message:
        "variance: there must be more than 1 values, got 1 in [2, 1]. Pass { correction: 0 } for a whole population.",
    },
    {
      call: (device) => variance(fromArray(device, [1, 2], [2]), 1),
      message: "variance: axis must be in [-1, 1), got 1 for [2].",
    },
  ],
  ulps: 2700,
  ulpsWhy: "two sums of up to 1296 terms, one after the other",
};

const stdReduction: Reduction = {
  call: std,
  magnitude: (x, axes, options) => add(squares(x, axes, options), add(std(x, axes, options), 1)),
  kinds: ["apart"],
  least: 2,
};

export const stdCases: OpCases = {
  name: "std",
  torch: "torch.std",
  samples: reductionSamples(stdReduction),
  edges: [
    ...reductionEdges(stdReduction),
    {
      inputs: [{ shape: [2, 2], values: [1, 2, 3, 5] }],
      call: (x) => std(x, 1, { correction: 0 }),
      why: "of a whole population",
    },
  ],
  errors: [
    {
      call: (device) => std(zeros(device, [1])),
      message:
        "std: there must be more than 1 values, got 1 in [1]. Pass { correction: 0 } for a whole population.",
    },
  ],
  ulps: 2700,
  ulpsWhy: "two sums of up to 1296 terms, one after the other, and a root",
};
