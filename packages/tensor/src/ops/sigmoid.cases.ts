import type { OpCases } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { add } from "./add.ts";
import { mul } from "./mul.ts";
import { sigmoid } from "./sigmoid.ts";

export const sigmoidCases: OpCases = unaryCases({
  name: "sigmoid",
  torch: "torch.sigmoid",
  fn: sigmoid,
  magnitude: (x) => mul(sigmoid(x), add(absolute(x), 1)),
  values: [-80, -20, 0, 20, 80, 1000],
  ulps: 16,
  ulpsWhy: "an exponential of 3 + 2·|x| units in the last place, a sum and a quotient",
});
