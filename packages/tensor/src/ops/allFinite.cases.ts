import fc from "fast-check";
import { zeros } from "../create.ts";
import { type Shape, sizeOf } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { randomOf } from "../testing/values.ts";
import { allFinite } from "./allFinite.ts";

const { NaN: nan, POSITIVE_INFINITY: infinity } = Number;

/** One value of the sample is `odd`, at a random place. */
const sample = (shape: Shape, odd: number, seed = 1): Sample => {
  const size = sizeOf(shape);
  const place = Math.floor(randomOf(seed)() * size);
  return {
    inputs: [{ shape, values: Array.from({ length: size }, (_, i) => (i === place ? odd : i - 3)) }],
    call: (x) => allFinite(x),
    why: `[${shape}], one value ${odd}, seed ${seed}`,
  };
};

export const allFiniteCases: OpCases = {
  name: "allFinite",
  torch: "torch.isfinite(x).all()",
  samples: fc
    .tuple(shapes(), fc.constantFrom(1, 3e38, nan, infinity, -infinity), seeds())
    .map(([shape, odd, seed]) => sample(shape, odd, seed)),
  edges: [
    sample([], 1),
    sample([], nan),
    sample([0], 1),
    sample([131], infinity),
    sample([9001], 1),
    sample([9001], nan, 1),
    sample([9001], -infinity, 3),
    {
      inputs: [{ shape: [3], dtype: "f16", values: [1, infinity, 2] }],
      call: (x) => allFinite(x),
      why: "f16",
    },
    { inputs: [{ shape: [3], dtype: "bf16", values: [1, nan, 2] }], call: (x) => allFinite(x), why: "bf16" },
  ],
  errors: [
    {
      call: (device) => allFinite(zeros(device, [2], { dtype: "i32" })),
      message: "allFinite: x must be a float type, got i32.",
    },
  ],
  ulps: 0,
  ulpsWhy: "an answer has no rounding",
  gradient: "none: a truth value does not change smoothly",
};
