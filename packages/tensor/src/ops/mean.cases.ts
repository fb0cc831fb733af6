import fc from "fast-check";
import { fromArray, zeros } from "../create.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample, SampleInput } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { inputOf, type ValueKind } from "../testing/values.ts";
import { mean } from "./mean.ts";

type Axes = number | readonly number[] | undefined;

const sample = (
  shape: Shape,
  axes: Axes,
  keepDim = false,
  input: Partial<SampleInput> & { kind?: ValueKind } = {},
  seed = 1,
): Sample => ({
  inputs: [inputOf(shape, seed, input)],
  call: (x) => mean(x, axes, { keepDim }),
  magnitude: (x) => mean(absolute(x), axes, { keepDim }),
  why: `[${shape}] over ${axes === undefined ? "all" : `[${axes}]`}${keepDim ? ", axes kept" : ""} ${input.dtype ?? input.kind ?? ""}, seed ${seed}`,
});

export const meanCases: OpCases = {
  name: "mean",
  torch: "torch.mean",
  samples: fc
    .record({
      shape: shapes().filter((shape) => !shape.includes(0)),
      chosen: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
      keepDim: fc.boolean(),
      kind: fc.constantFrom<ValueKind>("normal", "wide"),
      seed: seeds(),
    })
    .map(({ shape, chosen, keepDim, kind, seed }) => {
      const axes = shape.map((_, i) => i).filter((i) => chosen[i]);
      return sample(shape, axes, keepDim, { kind }, seed);
    }),
  edges: [
    sample([], undefined),
    sample([0, 3], 1),
    sample([1], 0, true),
    sample([3, 131], -1),
    sample([2, 3, 4], [0, 2], true),
    sample([2, 3], []),
    sample([3, 5], 1, false, { dtype: "f16" }),
    sample([3, 5], 0, false, { dtype: "bf16" }),
  ],
  errors: [
    {
      call: (device) => mean(fromArray(device, [1, 2], [2], { dtype: "i32" })),
      message: "mean: x must be a float type, got i32. Use cast first.",
    },
    {
      call: (device) => mean(zeros(device, [2, 0])),
      message: "mean: there must be at least one value to average, got [2, 0].",
    },
    {
      call: (device) => mean(zeros(device, [2, 3]), -3),
      message: "mean: axis must be in [-2, 2), got -3 for [2, 3].",
    },
  ],
  ulps: 400,
  ulpsWhy: "one rounding for each term of the longest sum of these samples, below 393, then a division",
};
