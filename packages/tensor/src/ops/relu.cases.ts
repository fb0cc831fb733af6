import type { OpCases } from "../testing/cases.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { relu } from "./relu.ts";

export const reluCases: OpCases = unaryCases({
  name: "relu",
  torch: "torch.nn.functional.relu",
  fn: relu,
  kinks: true,
  values: [-2, 0, 2, 3e38, -3e38],
  ulps: 0,
  ulpsWhy: "the result is x or 0",
});
