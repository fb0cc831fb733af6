import type { OpCases } from "../testing/cases.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { abs } from "./abs.ts";

export const absCases: OpCases = unaryCases({
  name: "abs",
  torch: "torch.abs",
  fn: abs,
  kinks: true,
  values: [-2, -0, 0, 3e38, -3e38],
  ulps: 0,
  ulpsWhy: "only the sign changes",
});
