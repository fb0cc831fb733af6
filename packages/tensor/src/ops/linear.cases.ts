import fc from "fast-check";
import { zeros } from "../create.ts";
import type { DType } from "../dtype.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes, sides } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { inputOf, type ValueKind } from "../testing/values.ts";
import { linear } from "./linear.ts";

const sample = (
  lead: Shape,
  input: number,
  output: number,
  bias: boolean,
  { kind = "normal", seed = 1, dtype }: { kind?: ValueKind; seed?: number; dtype?: DType } = {},
): Sample => ({
  inputs: [
    inputOf([...lead, input], seed, { kind }),
    inputOf([output, input], seed, { kind, lane: 1, dtype }),
    ...(bias ? [inputOf([output], seed, { kind, lane: 2 })] : []),
  ],
  call: (x, weight, shift) => linear(x, weight, shift),
  magnitude: (x, weight, shift) =>
    linear(absolute(x), absolute(weight), shift === undefined ? undefined : absolute(shift)),
  why: `[${[...lead, input]}] by [${output}, ${input}]${bias ? " and bias" : ""} ${dtype ?? ""}${kind}, seed ${seed}`,
});

export const linearCases: OpCases = {
  name: "linear",
  torch: "torch.nn.functional.linear",
  samples: fc
    .record({
      lead: shapes({ maxRank: 2 }),
      input: sides(12),
      output: sides(12),
      bias: fc.boolean(),
      kind: fc.constantFrom<ValueKind>("normal", "wide"),
      seed: seeds(),
    })
    .map(({ lead, input, output, bias, ...options }) => sample(lead, input, output, bias, options)),
  edges: [
    sample([], 1, 1, true),
    sample([0], 3, 2, true),
    sample([2, 3], 0, 2, true),
    sample([2, 3], 67, 33, true),
    sample([5], 6, 4, false, { dtype: "bf16" }),
    sample([5], 6, 4, true, { dtype: "f16" }),
  ],
  errors: [
    {
      call: (device) => linear(zeros(device, [2, 3]), zeros(device, [3, 4])),
      message:
        "linear: x must be [..., inFeatures] and weight [outFeatures, inFeatures], got [2, 3] and [3, 4].",
    },
    {
      call: (device) => linear(zeros(device, [2, 3]), zeros(device, [4, 3]), zeros(device, [3])),
      message: "linear: bias must be [4], the rows of weight, got [3].",
    },
  ],
  ulps: 70,
  ulpsWhy: "one rounding for each term of the longest sum of these samples, 67, the bias and the store",
};
