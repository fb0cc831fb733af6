import { binarySamples } from "../testing/arbitraries.ts";
import { binaryEdges, binaryErrors } from "../testing/binaryEdges.ts";
import type { OpCases } from "../testing/cases.ts";
import { maximum } from "./maximum.ts";

export const maximumCases: OpCases = {
  name: "maximum",
  torch: "torch.maximum",
  samples: binarySamples((a, b) => maximum(a, b), { kinks: true }),
  edges: [
    ...binaryEdges(maximum, { integers: true, kind: "apart" }),
    {
      inputs: [
        { shape: [4], values: [1, 2, 3, -1] },
        { shape: [4], values: [1, 3, 3, -2] },
      ],
      call: (a, b) => maximum(a, b),
      smooth: false,
      why: "ties: each side gets half of the gradient",
    },
  ],
  errors: binaryErrors("maximum", maximum, { integers: true }),
  ulps: 0,
  ulpsWhy: "the result is one of the operands",
};
