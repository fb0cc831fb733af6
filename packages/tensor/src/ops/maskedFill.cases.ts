import fc from "fast-check";
import { zeros } from "../create.ts";
import { type Shape, sizeOf } from "../shape.ts";
import { broadcastable, seeds } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { inputOf, randomOf } from "../testing/values.ts";
import { maskedFill } from "./maskedFill.ts";

const sample = (shape: Shape, mask: Shape, value: number, seed = 1): Sample => {
  const random = randomOf(seed);
  const values = Array.from({ length: sizeOf(mask) }, () => (random() < 0.5 ? 1 : 0));
  return {
    inputs: [inputOf(shape, seed), { shape: mask, dtype: "bool", values }],
    call: (x, m) => maskedFill(x, m, value),
    why: `[${shape}] under a mask [${mask}], seed ${seed}`,
  };
};

export const maskedFillCases: OpCases = {
  name: "maskedFill",
  torch: "torch.masked_fill",
  samples: fc.tuple(broadcastable(2), seeds()).map(([[x, mask], seed]) => sample(x, mask, -2.5, seed)),
  edges: [
    sample([], [], 1),
    sample([0], [1], 1),
    sample([2, 3, 5], [3, 5], -1048576),
    sample([131], [131], 0),
  ],
  errors: [
    {
      call: (device) => maskedFill(zeros(device, [2]), zeros(device, [2]), 0),
      message: "maskedFill: mask must be bool, got f32.",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are chosen",
};
