import fc from "fast-check";
import { zeros } from "../create.ts";
import type { DType } from "../dtype.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { cast } from "./cast.ts";

const types = ["f32", "f16", "bf16", "i32", "u32", "bool"] as const;

/** Through two types, so that each occurs on both sides. Differences say nothing, since f32 and less rounds. */
const through = (input: Sample["inputs"][number], a: DType, b: DType): Sample => ({
  inputs: [input],
  call: (x) => cast(cast(x, a), b),
  smooth: false,
  why: `[${input.shape}] to ${a}, then to ${b}`,
});

const hard = [
  0, 0.5, -0.5, 1.5, -1.5, 2.5, 1e-7, -3e-8, 2.98e-8, 5.97e-8, 6.1e-5, 6.097e-5, 2049, 2051, 65519, 65520,
  1e9, -1e10, 3e9, 5e9, 1.00390625, 1.01171875, 3.4e38,
];

export const castCases: OpCases = {
  name: "cast",
  torch: "torch.Tensor.to",
  samples: fc
    .record({
      shape: shapes(),
      a: fc.constantFrom(...types),
      b: fc.constantFrom(...types),
      kind: fc.constantFrom("wide", "halves", "normal"),
      seed: seeds(),
    })
    .map(({ shape, a, b, kind, seed }) => through(inputOf(shape, seed, { kind }), a, b)),
  edges: [
    ...types.flatMap((a) => types.map((b) => through({ shape: [hard.length], values: hard }, a, b))),
    through({ shape: [], values: [1.7] }, "f16", "i32"),
    through({ shape: [2, 0], values: [] }, "bf16", "f32"),
    through(inputOf([131], 1), "f16", "bf16"),
    through({ shape: [4], dtype: "i32", values: [-1, 2147483647, 16777217, -2147483648] }, "u32", "f32"),
    through({ shape: [3], dtype: "u32", values: [1, 4294967295, 16777219] }, "f32", "i32"),
    through({ shape: [3], dtype: "bool", values: [1, 0, 1] }, "f16", "bool"),
  ],
  errors: [
    {
      // The type of the argument forbids it; JavaScript callers have no types.
      call: (device) => cast(zeros(device, [1]), "int8" as DType),
      message: "cast: dtype must be f32, f64, f16, bf16, i32, u32 or bool, got int8.",
    },
  ],
  ulps: 0,
  ulpsWhy: "every device rounds to nearest even",
};
