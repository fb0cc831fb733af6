import { binarySamples } from "../testing/arbitraries.ts";
import { binaryEdges, binaryErrors } from "../testing/binaryEdges.ts";
import type { OpCases } from "../testing/cases.ts";
import { lt } from "./lt.ts";

export const ltCases: OpCases = {
  name: "lt",
  torch: "torch.lt",
  samples: binarySamples((a, b) => lt(a, b), { kinds: ["halves", "normal"] }),
  edges: [...binaryEdges(lt, { integers: true, kind: "halves" })],
  errors: binaryErrors("lt", lt, { integers: true }),
  ulps: 0,
  ulpsWhy: "an answer has no rounding",
  gradient: "none: the outputs are bool",
};
