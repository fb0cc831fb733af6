import type { OpCases } from "../testing/cases.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { ceil } from "./ceil.ts";

export const ceilCases: OpCases = unaryCases({
  name: "ceil",
  torch: "torch.ceil",
  fn: ceil,
  kinks: true,
  values: [-2.5, -2, -0.5, 0, 0.5, 8388609, 1e30],
  ulps: 0,
  ulpsWhy: "whole numbers are exact",
});
