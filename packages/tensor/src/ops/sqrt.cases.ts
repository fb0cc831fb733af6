import type { OpCases } from "../testing/cases.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { sqrt } from "./sqrt.ts";

export const sqrtCases: OpCases = unaryCases({
  name: "sqrt",
  torch: "torch.sqrt",
  fn: sqrt,
  kinds: ["positive"],
  values: [1e-30, 0.25, 1, 2, 1e30],
  ulps: 10,
  ulpsWhy: "WGSL allows sqrt what 1 / inverseSqrt(x) has: 2 and 2.5 units in the last place",
});
