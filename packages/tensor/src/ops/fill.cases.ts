import { unarySamples } from "../testing/arbitraries.ts";
import type { OpCases } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { onesLike, zerosLike } from "./fill.ts";

const shared = {
  errors: [],
  ulps: 0,
  ulpsWhy: "the value is exact",
  gradient: "none: a constant depends on nothing",
} as const;

export const onesLikeCases: OpCases = {
  name: "onesLike",
  torch: "torch.ones_like",
  samples: unarySamples((x) => onesLike(x)),
  edges: [
    { inputs: [inputOf([0], 1)], call: (x) => onesLike(x), why: "no values" },
    { inputs: [inputOf([3], 1, { dtype: "bf16" })], call: (x) => onesLike(x), why: "bf16 gives f32" },
    { inputs: [{ shape: [2], dtype: "i32", values: [3, 4] }], call: (x) => onesLike(x), why: "i32" },
    { inputs: [{ shape: [2], dtype: "bool", values: [0, 1] }], call: (x) => onesLike(x), why: "bool" },
    {
      inputs: [{ shape: [2], dtype: "bool", values: [0, 1] }],
      call: (x) => onesLike(x, 2),
      why: "any other number is true",
    },
    { inputs: [inputOf([3], 1)], call: (x) => onesLike(x, -2.5), why: "another value" },
  ],
  ...shared,
};

export const zerosLikeCases: OpCases = {
  name: "zerosLike",
  torch: "torch.zeros_like",
  samples: unarySamples((x) => zerosLike(x)),
  edges: [{ inputs: [inputOf([], 1)], call: (x) => zerosLike(x), why: "a scalar" }],
  ...shared,
};
