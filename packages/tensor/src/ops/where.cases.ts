import fc from "fast-check";
import { fromArray, zeros } from "../create.ts";
import type { Shape } from "../shape.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { broadcastable, seeds } from "../testing/arbitraries.ts";
import type { OpCases, Sample, SampleInput } from "../testing/cases.ts";
import { inputOf, randomOf } from "../testing/values.ts";
import { where } from "./where.ts";

const answers = (shape: Shape, seed = 1): SampleInput => {
  const random = randomOf(seed);
  return {
    shape,
    dtype: "bool",
    values: Array.from({ length: sizeOf(shape) }, () => (random() < 0.5 ? 1 : 0)),
  };
};

const chosen = (condition: Shape, a: Shape, b: Shape, seed = 1): Sample => ({
  inputs: [answers(condition, seed), inputOf(a, seed), inputOf(b, seed, { lane: 1 })],
  call: (c, x, y) => where(c, x, y),
  why: `condition [${condition}], a [${a}], b [${b}], seed ${seed}`,
});

const bool = (device: Parameters<typeof zeros>[0], shape: Shape): Tensor =>
  zeros(device, shape, { dtype: "bool" });

export const whereCases: OpCases = {
  name: "where",
  torch: "torch.where",
  samples: fc.tuple(broadcastable(3), seeds()).map(([[c, a, b], seed]) => chosen(c, a, b, seed)),
  edges: [
    chosen([], [], []),
    chosen([0], [0], [1]),
    chosen([131], [131], [131]),
    chosen([3, 1], [4], [2, 3, 4]),
    {
      inputs: [answers([5]), inputOf([5], 1, { dtype: "f16" }), inputOf([5], 2, { dtype: "bf16" })],
      call: (c, x, y) => where(c, x, y),
      why: "f16 and bf16",
    },
    {
      inputs: [
        answers([3]),
        { shape: [3], dtype: "i32", values: [-1, 2, 3] },
        { shape: [], dtype: "i32", values: [-7] },
      ],
      call: (c, x, y) => where(c, x, y),
      why: "i32",
    },
    {
      inputs: [answers([2, 3]), inputOf([3], 1)],
      call: (c, x) => where(c, x, -1048576),
      why: "a number for b",
    },
    { inputs: [answers([2, 3]), inputOf([3], 1)], call: (c, x) => where(c, 0.5, x), why: "a number for a" },
    { inputs: [answers([7])], call: (c) => where(c, 1, -1), why: "two numbers" },
  ],
  errors: [
    {
      call: (device) => where(zeros(device, [2]), 1, 2),
      message: "where: condition must be bool, got f32.",
    },
    {
      call: (device) => where(bool(device, [2]), zeros(device, [3]), zeros(device, [2])),
      message: "where: shapes must broadcast, got condition [2] and a [3] and b [2].",
    },
    {
      call: (device) =>
        where(bool(device, [2]), zeros(device, [2]), fromArray(device, [1], [], { dtype: "i32" })),
      message: "where: dtypes must agree, got a f32 and b i32. Use cast on one of them.",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are chosen",
};
