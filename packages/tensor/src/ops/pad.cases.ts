import fc from "fast-check";
import { zeros } from "../create.ts";
import type { DType } from "../dtype.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { pad } from "./pad.ts";

const padded = (shape: Shape, pads: [number, number][], value?: number, dtype?: DType, seed = 1): Sample => ({
  inputs: [inputOf(shape, seed, { dtype, kind: dtype === "i32" || dtype === "bool" ? "apart" : "normal" })],
  call: (x) => pad(x, pads, value),
  why: `[${shape}] by ${pads.map((pair) => `(${pair})`).join(" ")} with ${value} ${dtype ?? ""}`,
});

export const padCases: OpCases = {
  name: "pad",
  torch: "torch.nn.functional.pad",
  samples: fc
    .record({
      shape: shapes(),
      sizes: fc.array(fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 3 })), { minLength: 4, maxLength: 4 }),
      value: fc.constantFrom(undefined, -1.5),
      seed: seeds(),
    })
    .map(({ shape, sizes, value, seed }) =>
      padded(shape, sizes.slice(0, shape.length), value, undefined, seed),
    ),
  edges: [
    padded([], []),
    padded([3], [[0, 0]]),
    padded([0], [[2, 1]], 4),
    padded(
      [3, 0],
      [
        [1, 1],
        [0, 0],
      ],
    ),
    padded([129], [[1, 1]], 2),
    padded(
      [3, 5],
      [
        [1, 0],
        [0, 2],
      ],
      -1.5,
    ),
    padded(
      [2, 3, 4],
      [
        [0, 1],
        [2, 0],
        [1, 1],
      ],
    ),
    padded(
      [3, 5],
      [
        [1, 0],
        [1, 0],
      ],
      3,
      "f16",
    ),
    padded([5], [[1, 2]], 0.125, "bf16"),
    padded([5], [[1, 2]], -7, "i32"),
    padded([5], [[1, 2]], 1, "bool"),
  ],
  errors: [
    {
      call: (device) => pad(zeros(device, [2, 3]), [[1, 1]]),
      message: "pad: pads must have one pair for each of the 2 axes, got 1.",
    },
    {
      call: (device) => pad(zeros(device, [2]), [[1, -1]]),
      message: "pad: pads must be whole numbers of at least 0, got [1, -1].",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied",
};
