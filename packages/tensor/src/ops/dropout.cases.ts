import fc from "fast-check";
import { zeros } from "../create.ts";
import { keyOf } from "../random/threefry.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample, SampleInput } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { dropout } from "./dropout.ts";

const sample = (shape: Shape, p: number, seed = 1, dtype?: SampleInput["dtype"]): Sample => ({
  inputs: [inputOf(shape, seed, { kind: "wide", dtype })],
  call: (x) => dropout(x, p, keyOf(seed)),
  why: `[${shape}] p ${p} ${dtype ?? ""} seed ${seed}`,
});

export const dropoutCases: OpCases = {
  name: "dropout",
  torch: "torch.nn.functional.dropout",
  samples: fc
    .record({ shape: shapes(), p: fc.constantFrom(0.1, 0.5, 0.9), seed: seeds() })
    .map(({ shape, p, seed }) => sample(shape, p, seed)),
  edges: [
    sample([], 0.5),
    sample([0], 0.5),
    sample([300], 0.3),
    sample([5], 0),
    sample([7], 0.999),
    sample([5], 0.5, 1, "f16"),
    {
      inputs: [inputOf([5], 1)],
      call: (x) => dropout(x, 0.5, keyOf(1), { training: false }),
      why: "nothing is dropped when not training",
    },
  ],
  errors: [
    {
      call: (device) => dropout(zeros(device, [2]), 1, keyOf(0)),
      message: "dropout: p must be in [0, 1), got 1.",
    },
    {
      call: (device) => dropout(zeros(device, [2]), 0.5, [1, -1]),
      message: "dropout: key must be two whole numbers below 2^32, got [1, -1]. Use keyOf(seed).",
    },
    {
      call: (device) => dropout(zeros(device, [2], { dtype: "i32" }), 0.5, keyOf(0)),
      message: "dropout: x must be a float type, got i32. Use cast first.",
    },
  ],
  ulps: 3,
  ulpsWhy: "the scale, a product and the store",
};
