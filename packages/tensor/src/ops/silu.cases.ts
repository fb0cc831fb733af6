import type { OpCases } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { add } from "./add.ts";
import { mul } from "./mul.ts";
import { silu } from "./silu.ts";

export const siluCases: OpCases = unaryCases({
  name: "silu",
  torch: "torch.nn.functional.silu",
  fn: silu,
  magnitude: (x) => mul(absolute(silu(x)), add(absolute(x), 1)),
  values: [-80, -20, 0, 20, 80],
  ulps: 18,
  ulpsWhy: "the sigmoid, and a product",
});
