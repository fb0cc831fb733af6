import fc from "fast-check";
import { keyOf } from "../random/threefry.ts";
import type { Shape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { add } from "./add.ts";
import { bernoulli } from "./bernoulli.ts";
import { onesLike } from "./fill.ts";
import { normal } from "./normal.ts";
import { randomBits } from "./randomBits.ts";
import { uniform } from "./uniform.ts";

// Draws have no tensor input: `on` only tells the device. That the values are JAX's is tested in test/random.test.ts.

type Draw = (on: Tensor, shape: Shape, seed: number) => Tensor;

const sample = (draw: Draw, shape: Shape, seed: number, magnitude?: Sample["magnitude"]): Sample => ({
  inputs: [{ shape: [], values: [0], grad: false }],
  call: (on) => draw(on, shape, seed),
  magnitude,
  why: `[${shape}], seed ${seed}`,
});

const casesOf = (draw: Draw, magnitude?: (on: Tensor, shape: Shape, seed: number) => Tensor) => {
  const one = (shape: Shape, seed: number): Sample =>
    sample(draw, shape, seed, magnitude && ((on) => magnitude(on, shape, seed)));
  return {
    samples: fc.record({ shape: shapes(), seed: seeds() }).map(({ shape, seed }) => one(shape, seed)),
    edges: [one([], 0), one([0, 3], 1), one([1000], 2), one([3, 5], 2 ** 53 - 1)],
    gradient: "none: random values depend on nothing",
  } as const;
};

export const randomBitsCases: OpCases = {
  name: "randomBits",
  torch: "jax.random.bits",
  ...casesOf((on, shape, seed) => randomBits(on.device, keyOf(seed), shape)),
  errors: [
    {
      call: (device) => randomBits(device, [0.5, 0], [2]),
      message: "randomBits: key must be two whole numbers below 2^32, got [0.5, 0]. Use keyOf(seed).",
    },
    {
      call: (device) => randomBits(device, keyOf(0), [-2]),
      message: "randomBits: sizes must be whole numbers, got [-2].",
    },
  ],
  ulps: 0,
  ulpsWhy: "integers",
};

export const uniformCases: OpCases = {
  name: "uniform",
  torch: "torch.rand (values are jax.random.uniform's)",
  ...casesOf(
    (on, shape, seed) =>
      uniform(on.device, keyOf(seed), shape, {
        low: -(seed % 3),
        high: 1.5,
        dtype: seed % 2 ? "f32" : "bf16",
      }),
    (on) => onesLike(on, 3.5),
  ),
  errors: [
    {
      call: (device) => uniform(device, keyOf(0), [2], { low: 1, high: 1 }),
      message: "uniform: low must be below high, got 1 and 1.",
    },
  ],
  ulps: 2 ** 9,
  ulpsWhy:
    "a product and a sum, which a GPU may round once; then in bf16 a neighbour may be nearest, 2⁻⁸ away",
};

export const normalCases: OpCases = {
  name: "normal",
  torch: "torch.randn (values are jax.random.normal's)",
  ...casesOf(
    (on, shape, seed) => normal(on.device, keyOf(seed), shape, { mean: seed % 3, std: 0.5 }),
    (on, shape, seed) => add(absolute(normal(on.device, keyOf(seed), shape, { std: 0.5 })), seed % 3),
  ),
  errors: [
    {
      call: (device) => normal(device, [0, 2 ** 32], [2]),
      message: "normal: key must be two whole numbers below 2^32, got [0, 4294967296]. Use keyOf(seed).",
    },
  ],
  ulps: 32,
  ulpsWhy:
    "log (2^-21 absolute near 1 by WGSL's rule) times the slope 0.25, a polynomial of 8 steps, two products",
};

export const bernoulliCases: OpCases = {
  name: "bernoulli",
  torch: "torch.bernoulli (values are jax.random.bernoulli's)",
  ...casesOf((on, shape, seed) => bernoulli(on.device, keyOf(seed), shape, (seed % 5) / 4)),
  errors: [
    {
      call: (device) => bernoulli(device, keyOf(0), [2], 1.5),
      message: "bernoulli: p must be in [0, 1], got 1.5.",
    },
  ],
  ulps: 0,
  ulpsWhy: "answers are exact",
};
