import { binarySamples } from "../testing/arbitraries.ts";
import { binaryEdges, binaryErrors } from "../testing/binaryEdges.ts";
import type { OpCases } from "../testing/cases.ts";
import { mul } from "./mul.ts";

export const mulCases: OpCases = {
  name: "mul",
  torch: "torch.mul",
  samples: binarySamples((a, b) => mul(a, b)),
  edges: [...binaryEdges(mul, { integers: true })],
  errors: binaryErrors("mul", mul, { integers: true }),
  ulps: 2,
  ulpsWhy: "one rounding, to either neighbour as WGSL allows",
};
