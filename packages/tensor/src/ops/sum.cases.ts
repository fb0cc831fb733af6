import fc from "fast-check";
import { fromArray, zeros } from "../create.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample, SampleInput } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { inputOf, type ValueKind } from "../testing/values.ts";
import { sum } from "./sum.ts";

type Axes = number | readonly number[] | undefined;

const sample = (
  shape: Shape,
  axes: Axes,
  keepDim = false,
  input: Partial<SampleInput> & { kind?: ValueKind } = {},
  seed = 1,
): Sample => ({
  inputs: [inputOf(shape, seed, input)],
  call: (x) => sum(x, axes, { keepDim }),
  magnitude: (x) => sum(absolute(x), axes, { keepDim }),
  why: `[${shape}] over ${axes === undefined ? "all" : `[${axes}]`}${keepDim ? ", axes kept" : ""} ${input.dtype ?? input.kind ?? ""}, seed ${seed}`,
});

export const sumCases: OpCases = {
  name: "sum",
  torch: "torch.sum",
  samples: fc
    .record({
      shape: shapes(),
      chosen: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
      negative: fc.boolean(),
      keepDim: fc.boolean(),
      kind: fc.constantFrom<ValueKind>("normal", "wide", "halves"),
      seed: seeds(),
    })
    .map(({ shape, chosen, negative, keepDim, kind, seed }) => {
      const axes = shape.map((_, i) => i).filter((i) => chosen[i]);
      return sample(shape, negative ? axes.map((i) => i - shape.length) : axes, keepDim, { kind }, seed);
    }),
  edges: [
    sample([], undefined),
    sample([0], undefined),
    sample([3, 0], 1),
    sample([3, 0], 0),
    sample([1, 1], 0, true),
    sample([3, 131], -1),
    sample([3, 64], 1),
    sample([131, 3], 0),
    sample([2, 3, 4, 5], [0, 2]),
    sample([2, 3, 4, 5], [1, 3], true),
    sample([2, 1, 4], [0, 2]),
    sample([2, 3], []),
    sample([1000], undefined, false, { kind: "wide" }),
    sample([3, 5], 1, false, { dtype: "f16" }),
    sample([3, 5], 0, false, { dtype: "bf16" }),
    sample([3, 2], 1, false, { dtype: "i32", values: [1, -2, 3, 4, 5, -6] }),
    sample([3, 2], 0, false, { dtype: "u32", values: [1, 2, 3, 4, 5, 6] }),
  ],
  errors: [
    {
      call: (device) => sum(zeros(device, [2, 3]), 2),
      message: "sum: axis must be in [-2, 2), got 2 for [2, 3].",
    },
    {
      call: (device) => sum(zeros(device, [2, 3]), [0, -2]),
      message: "sum: axes must differ, got [0, -2].",
    },
    {
      call: (device) => sum(fromArray(device, [1], [1], { dtype: "bool" })),
      message: "sum: x must be a number type, got bool. Use cast first.",
    },
  ],
  ulps: 1001,
  ulpsWhy: "one rounding for each term of the longest sum of these samples, 1000, and the store",
};
