import fc from "fast-check";
import { zeros } from "../create.ts";
import { type Shape, sizeOf } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { randomOf } from "../testing/values.ts";
import { logicalNot } from "./logicalNot.ts";

const sample = (shape: Shape, seed = 1): Sample => {
  const random = randomOf(seed);
  const values = Array.from({ length: sizeOf(shape) }, () => (random() < 0.5 ? 1 : 0));
  return {
    inputs: [{ shape, dtype: "bool", values }],
    call: (x) => logicalNot(x),
    why: `[${shape}], seed ${seed}`,
  };
};

export const logicalNotCases: OpCases = {
  name: "logicalNot",
  torch: "torch.logical_not",
  samples: fc.tuple(shapes(), seeds()).map(([shape, seed]) => sample(shape, seed)),
  edges: [sample([]), sample([0]), sample([131])],
  errors: [
    {
      call: (device) => logicalNot(zeros(device, [2])),
      message: "logicalNot: x must be bool, got f32.",
    },
  ],
  ulps: 0,
  ulpsWhy: "an answer has no rounding",
  gradient: "none: the outputs are bool",
};
