import fc from "fast-check";
import { zeros } from "../create.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { stack } from "./stack.ts";

const stacked = (shape: Shape, count: number, axis: number, seed = 1): Sample => ({
  inputs: Array.from({ length: count }, (_, lane) => inputOf(shape, seed, { lane })),
  call: (...tensors) => stack(tensors, axis),
  why: `${count} of [${shape}] along ${axis}`,
});

export const stackCases: OpCases = {
  name: "stack",
  torch: "torch.stack",
  samples: fc
    .record({
      shape: shapes({ maxRank: 3 }),
      count: fc.integer({ min: 1, max: 4 }),
      at: fc.nat(),
      seed: seeds(),
    })
    .map(({ shape, count, at, seed }) => stacked(shape, count, at % (shape.length + 1), seed)),
  edges: [
    stacked([], 3, 0),
    stacked([0], 2, 1),
    stacked([2, 3], 2, -1),
    stacked([2, 3], 1, 1),
    stacked([5], 9, 0),
  ],
  errors: [
    { call: () => stack([]), message: "stack: there must be at least one tensor, got none." },
    {
      call: (device) => stack([zeros(device, [2]), zeros(device, [3])]),
      message: "stack: shapes must agree, got tensors[0] [2] and tensors[1] [3].",
    },
    {
      call: (device) => stack([zeros(device, [2])], 2),
      message: "stack: axis must be in [-2, 2), got 2 for tensors [2].",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied",
};
