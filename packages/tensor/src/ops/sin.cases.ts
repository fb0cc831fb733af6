import type { OpCases } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { add } from "./add.ts";
import { sin } from "./sin.ts";

export const sinCases: OpCases = unaryCases({
  name: "sin",
  torch: "torch.sin",
  fn: sin,
  magnitude: (x) => add(absolute(x), 1),
  values: [-1000, -Math.PI, 0, Math.PI / 2, Math.PI, 2 * Math.PI, 1000],
  ulps: 8,
  ulpsWhy:
    "the argument is brought into ±π/4 with an error of its own last place; a polynomial of five terms",
});
