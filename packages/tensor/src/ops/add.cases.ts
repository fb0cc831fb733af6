import { binarySamples } from "../testing/arbitraries.ts";
import { binaryEdges, binaryErrors } from "../testing/binaryEdges.ts";
import type { OpCases } from "../testing/cases.ts";
import { add } from "./add.ts";

export const addCases: OpCases = {
  name: "add",
  torch: "torch.add",
  samples: binarySamples((a, b) => add(a, b)),
  edges: [...binaryEdges(add, { integers: true })],
  errors: binaryErrors("add", add, { integers: true }),
  ulps: 2,
  ulpsWhy: "one rounding, to either neighbour as WGSL allows",
};
