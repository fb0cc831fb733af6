import type { OpCases } from "../testing/cases.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { isFinite } from "./isFinite.ts";

export const isFiniteCases: OpCases = unaryCases({
  name: "isFinite",
  torch: "torch.isfinite",
  fn: isFinite,
  values: [0, -1, 3.4e38, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN],
  gradient: "none: the outputs are bool",
  ulps: 0,
  ulpsWhy: "an answer has no rounding",
});
