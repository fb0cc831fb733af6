import { fromArray } from "../create.ts";
import { unarySamples } from "../testing/arbitraries.ts";
import type { OpCases } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { neg } from "./neg.ts";

export const negCases: OpCases = {
  name: "neg",
  torch: "torch.neg",
  samples: unarySamples((x) => neg(x)),
  edges: [
    { inputs: [inputOf([], 1)], call: (x) => neg(x), why: "a scalar" },
    { inputs: [inputOf([2, 0], 1)], call: (x) => neg(x), why: "no values" },
    { inputs: [inputOf([131], 1)], call: (x) => neg(x), why: "longer than a workgroup, and odd" },
    { inputs: [inputOf([5], 1, { dtype: "f16" })], call: (x) => neg(x), why: "f16" },
    { inputs: [inputOf([5], 1, { dtype: "bf16" })], call: (x) => neg(x), why: "bf16" },
    { inputs: [{ shape: [3], dtype: "i32", values: [-4, 0, 7] }], call: (x) => neg(x), why: "i32" },
    { inputs: [{ shape: [2], dtype: "u32", values: [0, 7] }], call: (x) => neg(x), why: "u32 wraps" },
  ],
  errors: [
    {
      call: (device) => neg(fromArray(device, [1, 0], [2], { dtype: "bool" })),
      message: "neg: x must be a number type, got bool.",
    },
  ],
  ulps: 0,
  ulpsWhy: "only the sign changes",
};
