import type { OpCases } from "../testing/cases.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { sign } from "./sign.ts";

export const signCases: OpCases = unaryCases({
  name: "sign",
  torch: "torch.sign",
  fn: sign,
  kinks: true,
  values: [-2, 0, 1e-30],
  ulps: 0,
  ulpsWhy: "the result is -1, 0 or 1",
});
