import type { OpCases } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { add } from "./add.ts";
import { exp } from "./exp.ts";
import { mul } from "./mul.ts";

export const expCases: OpCases = unaryCases({
  name: "exp",
  torch: "torch.exp",
  fn: exp,
  magnitude: (x) => mul(exp(x), add(absolute(x), 1)),
  values: [-100, -87, -20, 0, 20, 88],
  ulps: 8,
  ulpsWhy: "WGSL allows exp an error of 3 + 2·|x| units in the last place",
});
