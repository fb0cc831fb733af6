import fc from "fast-check";
import { zeros } from "../create.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { chunk, split } from "./split.ts";

const cut = (shape: Shape, sizes: number | number[], axis: number, seed = 1): Sample => ({
  inputs: [inputOf(shape, seed)],
  call: (x) => split(x, sizes, axis),
  why: `[${shape}] into ${sizes} along ${axis}`,
});

export const splitCases: OpCases = {
  name: "split",
  torch: "torch.split",
  samples: fc
    .record({
      shape: shapes({ minRank: 1 }),
      at: fc.nat(),
      size: fc.integer({ min: 1, max: 4 }),
      seed: seeds(),
    })
    .map(({ shape, at, size, seed }) => cut(shape, size, at % shape.length, seed)),
  edges: [
    cut([5], 2, 0),
    cut([5], 9, 0),
    cut([0], 2, 0),
    cut([2, 6], [1, 0, 5], 1),
    cut([6, 2], [1, 2, 3], 0),
    cut([6], [6], -1),
  ],
  errors: [
    {
      call: (device) => split(zeros(device, [6]), [1, 2]),
      message: "split: sizes must be whole numbers that add up to 6, got [1, 2].",
    },
    {
      call: (device) => split(zeros(device, [6]), 0),
      message: "split: the size must be a whole number of at least 1, got 0.",
    },
    {
      call: (device) => split(zeros(device, [6]), 2, 1),
      message: "split: axis must be in [-1, 1), got 1 for [6].",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied",
};

const chunked = (shape: Shape, count: number, axis: number, seed = 1): Sample => ({
  inputs: [inputOf(shape, seed)],
  call: (x) => chunk(x, count, axis),
  why: `[${shape}] into ${count} along ${axis}`,
});

export const chunkCases: OpCases = {
  name: "chunk",
  torch: "torch.chunk",
  samples: fc
    .record({
      shape: shapes({ minRank: 1 }),
      at: fc.nat(),
      count: fc.integer({ min: 1, max: 4 }),
      seed: seeds(),
    })
    .map(({ shape, at, count, seed }) => chunked(shape, count, at % shape.length, seed)),
  edges: [chunked([6], 3, 0), chunked([5], 2, 0), chunked([5], 4, 0), chunked([2, 4], 2, -1)],
  errors: [
    {
      call: (device) => chunk(zeros(device, [6]), 0),
      message: "chunk: count must be a whole number of at least 1, got 0.",
    },
    {
      call: (device) => chunk(zeros(device, [6]), 2, 1),
      message: "chunk: axis must be in [-1, 1), got 1 for [6].",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied",
};
