import type { OpCases } from "../testing/cases.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { rsqrt } from "./rsqrt.ts";

export const rsqrtCases: OpCases = unaryCases({
  name: "rsqrt",
  torch: "torch.rsqrt",
  fn: rsqrt,
  kinds: ["positive"],
  values: [1e-30, 0.25, 1, 2, 1e30],
  ulps: 15,
  ulpsWhy: "a root and a quotient: 4.5 and 2.5 units in the last place in WGSL",
});
