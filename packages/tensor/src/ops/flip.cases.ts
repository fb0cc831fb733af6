import fc from "fast-check";
import { zeros } from "../create.ts";
import type { DType } from "../dtype.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { flip } from "./flip.ts";

const flipped = (shape: Shape, axes: number | number[], dtype?: DType, seed = 1): Sample => ({
  inputs: [inputOf(shape, seed, { dtype })],
  call: (x) => flip(x, axes),
  why: `[${shape}] along ${axes} ${dtype ?? ""}`,
});

export const flipCases: OpCases = {
  name: "flip",
  torch: "torch.flip",
  samples: fc
    .record({
      shape: shapes(),
      chosen: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
      seed: seeds(),
    })
    .map(({ shape, chosen, seed }) =>
      flipped(
        shape,
        shape.map((_, i) => i).filter((i) => chosen[i]),
        undefined,
        seed,
      ),
    ),
  edges: [
    flipped([1], 0),
    flipped([0, 2], 0),
    flipped([131], -1),
    flipped([3, 5], [0, 1]),
    flipped([2, 3, 4], [0, -1]),
    flipped([3, 5], 1, "f16"),
    flipped([5], 0, "bf16"),
  ],
  errors: [
    {
      call: (device) => flip(zeros(device, [2, 3]), 2),
      message: "flip: axis must be in [-2, 2), got 2 for [2, 3].",
    },
    {
      call: (device) => flip(zeros(device, [2, 3]), [1, -1]),
      message: "flip: axes must differ, got [1, -1].",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied",
};
