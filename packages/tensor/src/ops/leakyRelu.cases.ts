import type { OpCases } from "../testing/cases.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { inputOf } from "../testing/values.ts";
import { leakyRelu } from "./leakyRelu.ts";

export const leakyReluCases: OpCases = unaryCases({
  name: "leakyRelu",
  torch: "torch.nn.functional.leaky_relu",
  fn: (x) => leakyRelu(x),
  kinks: true,
  values: [-2, 0, 2],
  edges: [
    { inputs: [inputOf([5], 1, { kind: "apart" })], call: (x) => leakyRelu(x, 0.2), why: "another slope" },
  ],
  ulps: 2,
  ulpsWhy: "one rounding below 0",
});
