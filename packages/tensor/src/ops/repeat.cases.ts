import fc from "fast-check";
import { zeros } from "../create.ts";
import type { DType } from "../dtype.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { repeat, repeatInterleave } from "./repeat.ts";

const repeated = (shape: Shape, counts: number[], dtype?: DType, seed = 1): Sample => ({
  inputs: [inputOf(shape, seed, { dtype })],
  call: (x) => repeat(x, counts),
  why: `[${shape}] ${counts} times ${dtype ?? ""}`,
});

export const repeatCases: OpCases = {
  name: "repeat",
  torch: "torch.Tensor.repeat",
  samples: fc
    .record({
      shape: shapes({ maxRank: 3 }),
      counts: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 3, maxLength: 4 }),
      seed: seeds(),
    })
    .map(({ shape, counts, seed }) => repeated(shape, counts, undefined, seed)),
  edges: [
    repeated([], []),
    repeated([], [3]),
    repeated([2], [0]),
    repeated([2, 3], [1, 1]),
    repeated([2, 3], [2, 1, 3]),
    repeated([67], [2]),
    repeated([3], [3], "f16"),
  ],
  errors: [
    {
      call: (device) => repeat(zeros(device, [2, 3]), [2]),
      message: "repeat: counts must be whole numbers, at least one for each axis of [2, 3], got [2].",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied; the gradient sums a few",
};

const interleaved = (shape: Shape, count: number, axis: number, dtype?: DType, seed = 1): Sample => ({
  inputs: [inputOf(shape, seed, { dtype })],
  call: (x) => repeatInterleave(x, count, axis),
  why: `[${shape}] ${count} times along ${axis} ${dtype ?? ""}`,
});

export const repeatInterleaveCases: OpCases = {
  name: "repeatInterleave",
  torch: "torch.repeat_interleave",
  samples: fc
    .record({
      shape: shapes({ minRank: 1 }),
      count: fc.integer({ min: 0, max: 4 }),
      at: fc.nat(),
      seed: seeds(),
    })
    .map(({ shape, count, at, seed }) => interleaved(shape, count, at % shape.length, undefined, seed)),
  edges: [
    interleaved([1], 1, 0),
    interleaved([3], 0, 0),
    interleaved([2, 3], 2, 0),
    interleaved([2, 3], 3, -1),
    interleaved([3, 5], 3, 1, "f16"),
  ],
  errors: [
    {
      call: (device) => repeatInterleave(zeros(device, [2]), 2, 1),
      message: "repeatInterleave: axis must be in [-1, 1), got 1 for [2].",
    },
    {
      call: (device) => repeatInterleave(zeros(device, [2]), -1, 0),
      message: "repeatInterleave: count must be a whole number of at least 0, got -1.",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied; the gradient sums a few",
};
