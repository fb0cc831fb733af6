import { binarySamples } from "../testing/arbitraries.ts";
import { binaryEdges, binaryErrors } from "../testing/binaryEdges.ts";
import type { OpCases } from "../testing/cases.ts";
import { minimum } from "./minimum.ts";

export const minimumCases: OpCases = {
  name: "minimum",
  torch: "torch.minimum",
  samples: binarySamples((a, b) => minimum(a, b), { kinks: true }),
  edges: [
    ...binaryEdges(minimum, { integers: true, kind: "apart" }),
    {
      inputs: [
        { shape: [4], values: [1, 2, 3, -1] },
        { shape: [4], values: [1, 3, 3, -2] },
      ],
      call: (a, b) => minimum(a, b),
      smooth: false,
      why: "ties: each side gets half of the gradient",
    },
  ],
  errors: binaryErrors("minimum", minimum, { integers: true }),
  ulps: 0,
  ulpsWhy: "the result is one of the operands",
};
