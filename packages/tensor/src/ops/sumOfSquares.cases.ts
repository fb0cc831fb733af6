import { zeros } from "../create.ts";
import type { Shape } from "../shape.ts";
import { unarySamples } from "../testing/arbitraries.ts";
import type { OpCases, Sample, SampleInput } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { sumOfSquares } from "./sumOfSquares.ts";

const edge = (input: SampleInput, why: string): Sample => ({ inputs: [input], call: sumOfSquares, why });

const several = (shapes: readonly Shape[], why: string): Sample => ({
  inputs: shapes.map((shape, lane) => inputOf(shape, 1, { lane })),
  call: (...inputs) => sumOfSquares(inputs),
  why,
});

export const sumOfSquaresCases: OpCases = {
  name: "sumOfSquares",
  torch: "torch.sum(torch.square(x))",
  samples: unarySamples((x) => sumOfSquares(x)),
  edges: [
    edge(inputOf([], 1), "a scalar"),
    edge(inputOf([0], 1), "no values: 0"),
    edge(inputOf([257], 1), "two workgroups"),
    edge(inputOf([3, 33_335], 1), "more values than lanes"),
    edge(inputOf([65_541], 1), "more values than sums"),
    several([[3], [2, 5], [], [0], [8]], "several, odd places"),
    several([[70_000], [4], [40_001], [100]], "several, each beyond the sums or within"),
    edge(inputOf([5], 1, { dtype: "f16" }), "f16"),
    edge(inputOf([5], 1, { dtype: "bf16" }), "bf16"),
  ],
  errors: [
    {
      call: (device) => sumOfSquares(zeros(device, [2], { dtype: "i32" })),
      message: "sumOfSquares: x must be a float type, got i32. Use cast first.",
    },
    {
      call: (device) => sumOfSquares([zeros(device, [2]), zeros(device, [2], { dtype: "i32" })]),
      message: "sumOfSquares: tensor 1 of 2 must be a float type, got i32. Use cast first.",
    },
    {
      call: () => sumOfSquares([]),
      message: "sumOfSquares: there must be at least one tensor, got none.",
    },
  ],
  ulps: 96,
  ulpsWhy: "two squares and additions of a sum, 64 additions of a lane, three of its parts and a tree of 8",
};
