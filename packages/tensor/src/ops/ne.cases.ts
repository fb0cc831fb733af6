import { binarySamples } from "../testing/arbitraries.ts";
import { binaryEdges, binaryErrors } from "../testing/binaryEdges.ts";
import type { OpCases } from "../testing/cases.ts";
import { ne } from "./ne.ts";

export const neCases: OpCases = {
  name: "ne",
  torch: "torch.ne",
  samples: binarySamples((a, b) => ne(a, b), { kinds: ["halves", "normal"] }),
  edges: [...binaryEdges(ne, { integers: true, kind: "halves" })],
  errors: binaryErrors("ne", ne, { integers: true }),
  ulps: 0,
  ulpsWhy: "an answer has no rounding",
  gradient: "none: the outputs are bool",
};
