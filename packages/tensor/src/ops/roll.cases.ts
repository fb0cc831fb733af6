import fc from "fast-check";
import { zeros } from "../create.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { roll } from "./roll.ts";

const rolled = (shape: Shape, shift: number, axis: number, seed = 1): Sample => ({
  inputs: [inputOf(shape, seed)],
  call: (x) => roll(x, shift, axis),
  why: `[${shape}] by ${shift} along ${axis}`,
});

export const rollCases: OpCases = {
  name: "roll",
  torch: "torch.roll",
  samples: fc
    .tuple(shapes({ minRank: 1 }), fc.integer({ min: -9, max: 9 }), fc.nat(), seeds())
    .map(([shape, shift, at, seed]) => rolled(shape, shift, at % shape.length, seed)),
  edges: [
    rolled([1], 1, 0),
    rolled([0], 1, 0),
    rolled([5], 2, 0),
    rolled([5], -12, 0),
    rolled([2, 70], 3, -1),
  ],
  errors: [
    {
      call: (device) => roll(zeros(device, [2]), 1, 1),
      message: "roll: axis must be in [-1, 1), got 1 for [2].",
    },
    {
      call: (device) => roll(zeros(device, [2]), 0.5, 0),
      message: "roll: shift must be a whole number, got 0.5.",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied",
};
