import fc from "fast-check";
import { zeros } from "../create.ts";
import type { DType } from "../dtype.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { expand } from "./expand.ts";

const sample = (from: Shape, to: Shape, seed: number, dtype?: DType): Sample => ({
  inputs: [inputOf(from, seed, { dtype })],
  call: (x) => expand(x, to),
  why: `[${from}] to [${to}]${dtype === undefined ? "" : ` ${dtype}`}`,
});

export const expandCases: OpCases = {
  name: "expand",
  torch: "torch.Tensor.expand",
  samples: fc
    .tuple(shapes(), fc.nat({ max: 4 }), fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }), seeds())
    .map(([to, drop, ones, seed]) =>
      sample(to.map((dim, i) => (ones[i] ? 1 : dim)).slice(Math.min(drop, to.length)), to, seed),
    ),
  edges: [
    sample([], [2, 3], 1),
    sample([1], [0], 1),
    sample([3, 1], [2, 3, 0], 1),
    sample([7], [131, 7], 1),
    sample([7, 1], [7, 131], 1),
    sample([2, 3], [2, 3], 1),
    sample([3, 1], [3, 3], 1, "f16"),
    sample([3], [3, 3], 1, "bf16"),
    { ...sample([3, 1], [3, 3], 1, "i32"), inputs: [{ shape: [3, 1], dtype: "i32", values: [1, -2, 3] }] },
    { ...sample([1, 3], [3, 3], 1, "bool"), inputs: [{ shape: [1, 3], dtype: "bool", values: [1, 0, 1] }] },
  ],
  errors: [
    {
      call: (device) => expand(zeros(device, [1]), [-1]),
      message: "expand: sizes must be whole numbers, got [-1].",
    },
    {
      call: (device) => expand(zeros(device, [2]), [3]),
      message: "expand: x [2] must broadcast to [3].",
    },
    {
      call: (device) => expand(zeros(device, [2, 3]), [3]),
      message: "expand: x [2, 3] must broadcast to [3].",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied",
};
