import { binarySamples } from "../testing/arbitraries.ts";
import { binaryEdges, binaryErrors } from "../testing/binaryEdges.ts";
import type { OpCases } from "../testing/cases.ts";
import { eq } from "./eq.ts";

export const eqCases: OpCases = {
  name: "eq",
  torch: "torch.eq",
  samples: binarySamples((a, b) => eq(a, b), { kinds: ["halves", "normal"] }),
  edges: [...binaryEdges(eq, { integers: true, kind: "halves" })],
  errors: binaryErrors("eq", eq, { integers: true }),
  ulps: 0,
  ulpsWhy: "an answer has no rounding",
  gradient: "none: the outputs are bool",
};
