import { binarySamples } from "../testing/arbitraries.ts";
import { binaryEdges, binaryErrors } from "../testing/binaryEdges.ts";
import type { OpCases } from "../testing/cases.ts";
import { div } from "./div.ts";

export const divCases: OpCases = {
  name: "div",
  torch: "torch.div",
  samples: binarySamples((a, b) => div(a, b), { kinds: ["positive", "apart", "wide"] }),
  edges: binaryEdges(div, { kind: "positive" }),
  errors: binaryErrors("div", div),
  ulps: 6,
  ulpsWhy: "WGSL allows a division 2.5 units in the last place",
};
