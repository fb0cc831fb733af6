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

const sampleOf = (input: SampleInput, axis: number, why: string): Sample => ({
  inputs: [input],
  call: (x) => logSoftmax(x, axis),
  // The logarithm is at most log n, and its error is absolute where it is near 0.
  magnitude: (x: Tensor) => add(absolute(logSoftmax(x, axis)), 8),
  why: `[${input.shape}] along ${axis} ${why}`,
});

const sample = (shape: Shape, axis = -1, kind: ValueKind = "normal", seed = 1): Sample =>
  sampleOf(inputOf(shape, seed, { kind }), axis, `${kind}, seed ${seed}`);

export const logSoftmaxCases: OpCases = {
  name: "logSoftmax",
  torch: "torch.log_softmax",
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
    sample([3, 0]),
    sample([5, 65]),
    sample([2, 257]),
    sample([2, 2100]),
    sample([2, 131, 3], 1),
    sampleOf({ shape: [2, 3], values: [1e4, -1e4, 1e4, -1e4, -1e4, -1e4] }, -1, "large, with ties"),
    sampleOf(inputOf([3, 5], 1, { dtype: "f16" }), -1, "f16"),
    sampleOf(inputOf([3, 5], 1, { dtype: "bf16" }), 0, "bf16"),
  ],
  errors: [
    {
      call: (device) => logSoftmax(zeros(device, [])),
      message: "logSoftmax: x must have at least one axis, got [].",
    },
    {
      call: (device) => logSoftmax(zeros(device, [2, 3]), -3),
      message: "logSoftmax: axis must be in [-2, 2), got -3 for [2, 3].",
    },
    {
      call: (device) => logSoftmax(zeros(device, [2], { dtype: "bool" })),
      message: "logSoftmax: x must be a float type, got bool. Use cast first.",
    },
  ],
  ulps: 16,
  ulpsWhy:
    "two subtractions, log (2^-21 absolute near 1 by WGSL's rule) and a sum in a tree, each against 8 or more",
};
