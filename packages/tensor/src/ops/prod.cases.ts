import { fromArray, zeros } from "../create.ts";
import type { OpCases } from "../testing/cases.ts";
import { type Reduction, reductionEdges, reductionSamples } from "../testing/reductions.ts";
import { inputOf } from "../testing/values.ts";
import { prod } from "./prod.ts";

const reduction: Reduction = { call: prod, kinds: ["positive", "halves"], smoothKinds: ["positive"] };

export const prodCases: OpCases = {
  name: "prod",
  torch: "torch.prod",
  samples: reductionSamples(reduction),
  edges: [
    ...reductionEdges(reduction),
    {
      inputs: [{ shape: [3, 3], values: [2, 0, 3, 0, 4, 0, 1, 2, 3] }],
      call: (x) => prod(x, 1),
      why: "one and two zeros: the gradient is the product of the others",
    },
    { inputs: [{ shape: [3], dtype: "i32", values: [-2, 3, 7] }], call: (x) => prod(x), why: "i32" },
    { inputs: [inputOf([3], 1, { dtype: "f16" })], call: (x) => prod(x), why: "f16" },
  ],
  errors: [
    {
      call: (device) => prod(zeros(device, [2]), 1),
      message: "prod: axis must be in [-1, 1), got 1 for [2].",
    },
    {
      call: (device) => prod(fromArray(device, [1], [1], { dtype: "bool" })),
      message: "prod: x must be a number type, got bool. Use all.",
    },
  ],
  ulps: 2600,
  ulpsWhy: "one rounding, to either neighbour, for each of up to 1296 factors",
};
