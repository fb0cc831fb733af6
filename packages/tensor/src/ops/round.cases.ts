import type { OpCases } from "../testing/cases.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { round } from "./round.ts";

export const roundCases: OpCases = unaryCases({
  name: "round",
  torch: "torch.round",
  fn: round,
  kinks: true,
  values: [-2.5, -1.5, -0.5, 0, 0.5, 1.5, 2.5, 8388609, 1e30],
  ulps: 0,
  ulpsWhy: "whole numbers are exact",
});
