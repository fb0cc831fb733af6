import { fromArray } from "../create.ts";
import type { OpCases } from "../testing/cases.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { inputOf } from "../testing/values.ts";
import { clamp } from "./clamp.ts";

const elementwise = unaryCases({
  name: "clamp",
  torch: "torch.clamp",
  fn: (x) => clamp(x, x.dtype === "i32" ? { min: -1, max: 3 } : { min: -0.5, max: 0.5 }),
  kinks: true,
  types: "any",
  values: [-2, -0.5, 0, 0.5, 2],
  edges: [
    {
      inputs: [inputOf([9], 1, { kind: "apart" })],
      call: (x) => clamp(x, { min: 0 }),
      why: "only a lower bound",
    },
    {
      inputs: [inputOf([9], 1, { kind: "apart" })],
      call: (x) => clamp(x, { max: 0 }),
      why: "only an upper bound",
    },
    { inputs: [inputOf([9], 1)], call: (x) => clamp(x, { min: 1, max: 0 }), why: "bounds that cross" },
    {
      inputs: [{ shape: [3], dtype: "u32", values: [1, 5, 9] }],
      call: (x) => clamp(x, { min: 2, max: 6 }),
      why: "u32",
    },
  ],
  ulps: 0,
  ulpsWhy: "the result is x or a bound",
});

export const clampCases: OpCases = {
  ...elementwise,
  errors: [
    ...elementwise.errors,
    {
      call: (device) => clamp(fromArray(device, [1], [1]), {}),
      message: "clamp: min or max must be given, got neither.",
    },
  ],
};
