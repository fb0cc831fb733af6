import { binarySamples } from "../testing/arbitraries.ts";
import { binaryEdges, binaryErrors } from "../testing/binaryEdges.ts";
import type { OpCases } from "../testing/cases.ts";
import { ge } from "./ge.ts";

export const geCases: OpCases = {
  name: "ge",
  torch: "torch.ge",
  samples: binarySamples((a, b) => ge(a, b), { kinds: ["halves", "normal"] }),
  edges: [...binaryEdges(ge, { integers: true, kind: "halves" })],
  errors: binaryErrors("ge", ge, { integers: true }),
  ulps: 0,
  ulpsWhy: "an answer has no rounding",
  gradient: "none: the outputs are bool",
};
