import type { OpCases } from "../testing/cases.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { square } from "./square.ts";

export const squareCases: OpCases = unaryCases({
  name: "square",
  torch: "torch.square",
  fn: square,
  kinds: ["normal", "halves", "wide"],
  values: [0, 1e15, -1e15],
  types: "any",
  ulps: 2,
  ulpsWhy: "one rounding, to either neighbour as WGSL allows",
});
