import { zeros } from "../create.ts";
import { unarySamples } from "../testing/arbitraries.ts";
import type { OpCases, Sample, SampleInput } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { sumOfSquares } from "./sumOfSquares.ts";

const edge = (input: SampleInput, why: string): Sample => ({ inputs: [input], call: sumOfSquares, why });

export const sumOfSquaresCases: OpCases = {
  name: "sumOfSquares",
  torch: "torch.sum(torch.square(x))",
  samples: unarySamples((x) => sumOfSquares(x)),
  edges: [
    edge(inputOf([], 1), "a scalar"),
    edge(inputOf([0], 1), "no values: 0"),
    edge(inputOf([257], 1), "two workgroups"),
    edge(inputOf([3, 33_335], 1), "more values than lanes"),
    edge(inputOf([5], 1, { dtype: "f16" }), "f16"),
    edge(inputOf([5], 1, { dtype: "bf16" }), "bf16"),
  ],
  errors: [
    {
      call: (device) => sumOfSquares(zeros(device, [2], { dtype: "i32" })),
      message: "sumOfSquares: x must be a float type, got i32. Use cast first.",
    },
  ],
  ulps: 32,
  ulpsWhy: "a square, two additions of a lane, a tree of 8, four additions of a lane and a tree of 6",
};
