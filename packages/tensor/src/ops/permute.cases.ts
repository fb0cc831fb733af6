import fc from "fast-check";
import { zeros } from "../create.ts";
import type { DType } from "../dtype.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { inputOf, randomOf, shuffled } from "../testing/values.ts";
import { permute, transpose } from "./permute.ts";

const permuted = (shape: Shape, axes: readonly number[], dtype?: DType, seed = 1): Sample => ({
  inputs: [inputOf(shape, seed, { dtype, kind: dtype === "i32" || dtype === "bool" ? "apart" : "normal" })],
  call: (x) => permute(x, axes),
  why: `[${shape}] in the order [${axes}] ${dtype ?? ""}`,
});

export const permuteCases: OpCases = {
  name: "permute",
  torch: "torch.permute",
  samples: fc
    .tuple(shapes(), seeds())
    .map(([shape, seed]) => permuted(shape, shuffled(shape.length, randomOf(seed)), undefined, seed)),
  edges: [
    permuted([], []),
    permuted([3], [0]),
    permuted([2, 0, 3], [2, 0, 1]),
    permuted([2, 3, 4, 5], [3, 1, 0, 2]),
    permuted([2, 3, 4], [-1, -3, -2]),
    permuted([13, 11], [1, 0]),
    permuted([3, 5], [1, 0], "f16"),
    permuted([5, 3], [1, 0], "bf16"),
    permuted([3, 2], [1, 0], "i32"),
    permuted([3, 2], [1, 0], "bool"),
  ],
  errors: [
    {
      call: (device) => permute(zeros(device, [2, 3]), [0]),
      message: "permute: axes must name each axis of [2, 3] once, got [0].",
    },
    {
      call: (device) => permute(zeros(device, [2, 3]), [0, 0]),
      message: "permute: axes must name each axis of [2, 3] once, got [0, 0].",
    },
    {
      call: (device) => permute(zeros(device, [2, 3]), [0, 2]),
      message: "permute: axes must name each axis of [2, 3] once, got [0, 2].",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied",
};

const transposed = (shape: Shape, axis0?: number, axis1?: number, seed = 1): Sample => ({
  inputs: [inputOf(shape, seed)],
  call: (x) => transpose(x, axis0, axis1),
  why: `[${shape}], axes ${axis0} and ${axis1}`,
});

export const transposeCases: OpCases = {
  name: "transpose",
  torch: "torch.transpose",
  samples: fc
    .tuple(shapes({ minRank: 1 }), fc.nat(), fc.nat(), seeds())
    .map(([shape, a, b, seed]) => transposed(shape, a % shape.length, -1 - (b % shape.length), seed)),
  edges: [transposed([2, 3]), transposed([0, 3]), transposed([2, 3, 4], 0), transposed([1], 0, 0)],
  errors: [
    {
      call: (device) => transpose(zeros(device, [2])),
      message: "transpose: axes must be in [-1, 1), got -2 and -1 for [2].",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied",
};
