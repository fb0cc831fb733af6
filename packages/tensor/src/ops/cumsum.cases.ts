import fc from "fast-check";
import { fromArray, zeros } from "../create.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { inputOf } from "../testing/values.ts";
import { cumsum } from "./cumsum.ts";

const summed = (shape: Shape, axis: number, seed = 1): Sample => ({
  inputs: [inputOf(shape, seed)],
  call: (x) => cumsum(x, axis),
  magnitude: (x) => cumsum(absolute(x), axis),
  why: `[${shape}] along ${axis}, seed ${seed}`,
});

export const cumsumCases: OpCases = {
  name: "cumsum",
  torch: "torch.cumsum",
  samples: fc
    .tuple(shapes({ minRank: 1 }), fc.nat(), seeds())
    .map(([shape, at, seed]) => summed(shape, at % shape.length, seed)),
  edges: [
    summed([1], 0),
    summed([0], 0),
    summed([3, 0], 0),
    summed([3, 0], 1),
    summed([131], -1),
    summed([2, 5, 3], 1),
    { inputs: [{ shape: [4], dtype: "i32", values: [3, -1, 7, -9] }], call: (x) => cumsum(x, 0), why: "i32" },
    {
      inputs: [inputOf([5], 1, { dtype: "f16" })],
      call: (x) => cumsum(x, 0),
      magnitude: (x) => cumsum(absolute(x), 0),
      why: "f16",
    },
  ],
  errors: [
    {
      call: (device) => cumsum(zeros(device, [2]), 1),
      message: "cumsum: axis must be in [-1, 1), got 1 for [2].",
    },
    {
      call: (device) => cumsum(fromArray(device, [1], [1], { dtype: "bool" }), 0),
      message: "cumsum: x must be a number type, got bool. Use cast first.",
    },
  ],
  ulps: 132,
  ulpsWhy: "one rounding for each of up to 131 terms, and the store",
};
