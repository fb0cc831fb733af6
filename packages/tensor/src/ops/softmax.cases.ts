import fc from "fast-check";
import { zeros } from "../create.ts";
import type { Shape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample, SampleInput } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { inputOf, type ValueKind } from "../testing/values.ts";
import { add } from "./add.ts";
import { logSoftmax } from "./logSoftmax.ts";
import { mul } from "./mul.ts";
import { softmax } from "./softmax.ts";

const sampleOf = (input: SampleInput, axis: number, why: string): Sample => ({
  inputs: [input],
  call: (x) => softmax(x, axis),
  // An error of x − max moves the exponential by that much, relative.
  magnitude: (x: Tensor) => mul(softmax(x, axis), add(absolute(logSoftmax(x, axis)), 1)),
  why: `[${input.shape}] along ${axis} ${why}`,
});

const sample = (shape: Shape, axis = -1, kind: ValueKind = "normal", seed = 1): Sample =>
  // Far apart, one value is nearly 1: f32 has lost what is missing to 1, and with it the gradient.
  sampleOf(inputOf(shape, seed, { kind, grad: kind !== "wide" }), axis, `${kind}, seed ${seed}`);

export const softmaxCases: OpCases = {
  name: "softmax",
  torch: "torch.softmax",
  samples: fc
    .record({
      shape: shapes({ minRank: 1, maxSide: 9 }),
      axis: fc.integer({ min: -4, max: 3 }),
      kind: fc.constantFrom<ValueKind>("normal", "halves", "wide"),
      seed: seeds(),
    })
    .map(({ shape, axis, kind, seed }) => sample(shape, axis % shape.length, kind, seed)),
  edges: [
    sample([1]),
    sample([0]),
    sample([0, 3]),
    sample([3, 0]),
    sample([3, 0, 2], 1),
    sample([5, 65]),
    sample([2, 257]),
    sample([2, 2100]),
    sample([2, 131, 3], 1),
    sampleOf(inputOf([65_600, 1], 1, { grad: false }), -1, "more rows than workgroups along one axis"),
    sampleOf({ shape: [2, 3], values: [1e4, -1e4, 1e4, -1e4, -1e4, -1e4] }, -1, "large, with ties"),
    sampleOf({ shape: [4], values: [30, 0, -30, -60], grad: false }, -1, "far apart"),
    sampleOf(inputOf([3, 5], 1, { dtype: "f16" }), -1, "f16"),
    sampleOf(inputOf([3, 5], 1, { dtype: "bf16" }), 0, "bf16"),
  ],
  errors: [
    {
      call: (device) => softmax(zeros(device, [])),
      message: "softmax: x must have at least one axis, got [].",
    },
    {
      call: (device) => softmax(zeros(device, [2, 3]), 2),
      message: "softmax: axis must be in [-2, 2), got 2 for [2, 3].",
    },
    {
      call: (device) => softmax(zeros(device, [2], { dtype: "i32" })),
      message: "softmax: x must be a float type, got i32. Use cast first.",
    },
  ],
  ulps: 40,
  ulpsWhy:
    "exp (3 and 2|x| steps of 2 units by WGSL's rule), a sum in a tree of at most 17 additions, a division",
};
