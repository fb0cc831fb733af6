import { binarySamples } from "../testing/arbitraries.ts";
import { binaryEdges, binaryErrors } from "../testing/binaryEdges.ts";
import type { OpCases } from "../testing/cases.ts";
import { gt } from "./gt.ts";

export const gtCases: OpCases = {
  name: "gt",
  torch: "torch.gt",
  samples: binarySamples((a, b) => gt(a, b), { kinds: ["halves", "normal"] }),
  edges: [...binaryEdges(gt, { integers: true, kind: "halves" })],
  errors: binaryErrors("gt", gt, { integers: true }),
  ulps: 0,
  ulpsWhy: "an answer has no rounding",
  gradient: "none: the outputs are bool",
};
