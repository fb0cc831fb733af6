import type { OpCases } from "../testing/cases.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { reciprocal } from "./reciprocal.ts";

export const reciprocalCases: OpCases = unaryCases({
  name: "reciprocal",
  torch: "torch.reciprocal",
  fn: reciprocal,
  kinds: ["wide", "positive"],
  values: [-4, 0.5, 1e30],
  ulps: 5,
  ulpsWhy: "WGSL allows a quotient 2.5 units in the last place",
});
