import type { OpCases } from "../testing/cases.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { erf } from "./erf.ts";

export const erfCases: OpCases = unaryCases({
  name: "erf",
  torch: "torch.erf",
  fn: erf,
  values: [-10, -4, -2, -1e-6, 0, 0.5, 1.99, 2, 3.99, 4, 10],
  ulps: 64,
  ulpsWhy: "a series of up to 26 terms of one sign times an exponential",
});
