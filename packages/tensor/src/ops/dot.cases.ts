import fc from "fast-check";
import { zeros } from "../create.ts";
import { seeds } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { inputOf } from "../testing/values.ts";
import { dot, outer } from "./dot.ts";

const product = (n: number, seed = 1): Sample => ({
  inputs: [inputOf([n], seed), inputOf([n], seed, { lane: 1 })],
  call: (a, b) => dot(a, b),
  magnitude: (a, b) => dot(absolute(a), absolute(b)),
  why: `${n} values, seed ${seed}`,
});

export const dotCases: OpCases = {
  name: "dot",
  torch: "torch.dot",
  samples: fc.tuple(fc.nat({ max: 20 }), seeds()).map(([n, seed]) => product(n, seed)),
  edges: [product(0), product(1), product(131)],
  errors: [
    {
      call: (device) => dot(zeros(device, [2]), zeros(device, [3])),
      message: "dot: a and b must be vectors of one length, got a [2] and b [3].",
    },
  ],
  ulps: 134,
  ulpsWhy: "two roundings for a product and one for each of up to 131 terms",
};

const all = (n: number, m: number, seed = 1): Sample => ({
  inputs: [inputOf([n], seed), inputOf([m], seed, { lane: 1 })],
  call: (a, b) => outer(a, b),
  why: `${n} by ${m} values, seed ${seed}`,
});

export const outerCases: OpCases = {
  name: "outer",
  torch: "torch.outer",
  samples: fc.tuple(fc.nat({ max: 9 }), fc.nat({ max: 9 }), seeds()).map(([n, m, seed]) => all(n, m, seed)),
  edges: [all(0, 3), all(1, 1), all(70, 3)],
  errors: [
    {
      call: (device) => outer(zeros(device, [2, 1]), zeros(device, [3])),
      message: "outer: a and b must be vectors, got a [2, 1] and b [3].",
    },
  ],
  ulps: 2,
  ulpsWhy: "one rounding, to either neighbour as WGSL allows",
};
