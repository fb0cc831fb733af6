import type { OpCases } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { add } from "./add.ts";
import { log } from "./log.ts";

export const logCases: OpCases = unaryCases({
  name: "log",
  torch: "torch.log",
  fn: log,
  kinds: ["positive"],
  magnitude: (x) => add(absolute(log(x)), 1),
  values: [1e-30, 0.5, 1, 1.0001, 2, 1e30],
  ulps: 8,
  ulpsWhy: "WGSL allows log 3 units in the last place, and an absolute error of 2⁻²¹ between 0.5 and 2",
});
