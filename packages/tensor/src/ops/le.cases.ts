import { binarySamples } from "../testing/arbitraries.ts";
import { binaryEdges, binaryErrors } from "../testing/binaryEdges.ts";
import type { OpCases } from "../testing/cases.ts";
import { le } from "./le.ts";

export const leCases: OpCases = {
  name: "le",
  torch: "torch.le",
  samples: binarySamples((a, b) => le(a, b), { kinds: ["halves", "normal"] }),
  edges: [...binaryEdges(le, { integers: true, kind: "halves" })],
  errors: binaryErrors("le", le, { integers: true }),
  ulps: 0,
  ulpsWhy: "an answer has no rounding",
  gradient: "none: the outputs are bool",
};
