import type { OpCases } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { add } from "./add.ts";
import { softplus } from "./softplus.ts";

export const softplusCases: OpCases = unaryCases({
  name: "softplus",
  torch: "torch.nn.functional.softplus",
  fn: softplus,
  magnitude: (x) => add(absolute(x), 1),
  values: [-80, -20, -7, 0, 20, 80, 1000],
  ulps: 16,
  ulpsWhy: "WGSL allows the logarithm an absolute error of 2⁻²¹ where e^x is small",
});
