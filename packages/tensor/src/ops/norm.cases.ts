import { fromArray, zeros } from "../create.ts";
import type { OpCases } from "../testing/cases.ts";
import { type Reduction, reductionEdges, reductionSamples } from "../testing/reductions.ts";
import { norm } from "./norm.ts";

const reduction: Reduction = {
  call: norm,
  kinds: ["normal", "wide", "halves"],
  smoothKinds: ["normal", "wide"],
};

export const normCases: OpCases = {
  name: "norm",
  torch: "torch.linalg.vector_norm",
  samples: reductionSamples(reduction),
  edges: [
    ...reductionEdges(reduction),
    {
      inputs: [{ shape: [2, 2], values: [0, 0, 3, 4] }],
      call: (x) => norm(x, 1),
      smooth: false,
      why: "a length of 0: no gradient",
    },
  ],
  errors: [
    {
      call: (device) => norm(zeros(device, [2]), 1),
      message: "norm: axis must be in [-1, 1), got 1 for [2].",
    },
    {
      call: (device) => norm(fromArray(device, [1], [1], { dtype: "i32" })),
      message: "norm: x must be a float type, got i32. Use cast first.",
    },
  ],
  ulps: 1320,
  ulpsWhy: "a sum of up to 1296 squares, and a root",
};
