import { binarySamples } from "../testing/arbitraries.ts";
import { binaryEdges, binaryErrors } from "../testing/binaryEdges.ts";
import type { OpCases } from "../testing/cases.ts";
import { sub } from "./sub.ts";

export const subCases: OpCases = {
  name: "sub",
  torch: "torch.sub",
  samples: binarySamples((a, b) => sub(a, b)),
  edges: [...binaryEdges(sub, { integers: true })],
  errors: binaryErrors("sub", sub, { integers: true }),
  ulps: 2,
  ulpsWhy: "one rounding, to either neighbour as WGSL allows",
};
