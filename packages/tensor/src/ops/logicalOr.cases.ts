import fc from "fast-check";
import { zeros } from "../create.ts";
import { type Shape, sizeOf } from "../shape.ts";
import { broadcastable, seeds } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { randomOf } from "../testing/values.ts";
import { logicalOr } from "./logicalOr.ts";

const sample = (a: Shape, b: Shape, seed = 1): Sample => {
  const random = randomOf(seed);
  const bits = (shape: Shape) => Array.from({ length: sizeOf(shape) }, () => (random() < 0.5 ? 1 : 0));
  return {
    inputs: [a, b].map((shape) => ({ shape, dtype: "bool", values: bits(shape) })),
    call: (x, y) => logicalOr(x, y),
    why: `[${a}] and [${b}], seed ${seed}`,
  };
};

export const logicalOrCases: OpCases = {
  name: "logicalOr",
  torch: "torch.logical_or",
  samples: fc.tuple(broadcastable(2), seeds()).map(([[a, b], seed]) => sample(a, b, seed)),
  edges: [sample([], []), sample([0], [1]), sample([131], [131]), sample([3, 1], [4])],
  errors: [
    {
      call: (device) => logicalOr(zeros(device, [2]), zeros(device, [2], { dtype: "bool" })),
      message: "logicalOr: a must be bool, got f32.",
    },
  ],
  ulps: 0,
  ulpsWhy: "an answer has no rounding",
  gradient: "none: the outputs are bool",
};
