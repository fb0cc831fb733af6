import fc from "fast-check";
import type { Tensor } from "../tensor.ts";
import { broadcastable, seeds } from "../testing/arbitraries.ts";
import { binaryEdges, binaryErrors } from "../testing/binaryEdges.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { inputOf } from "../testing/values.ts";
import { add } from "./add.ts";
import { mul } from "./mul.ts";
import { pow } from "./pow.ts";

/** |y| · (1 + 8·|b|): the relative error of 2^(b·log2 a) is that of the exponent, which is below 8·|b| here. */
const magnitude = (a: Tensor, b: Tensor): Tensor => mul(absolute(pow(a, b)), add(mul(absolute(b), 8), 1));

const withNumber = (exponent: number, values: readonly number[], smooth = true): Sample => ({
  inputs: [{ shape: [values.length], values }],
  call: (x) => pow(x, exponent),
  magnitude: (x) => mul(absolute(pow(x, exponent)), 1 + 8 * Math.abs(exponent)),
  smooth,
  why: `${values.join(" ")} to the power ${exponent}`,
});

export const powCases: OpCases = {
  name: "pow",
  torch: "torch.pow",
  samples: fc.tuple(broadcastable(2), seeds(), fc.boolean()).map(([[base, exponent], seed, negative]) => ({
    inputs: [
      inputOf(base, seed, { kind: negative ? "apart" : "positive", grad: !negative }),
      inputOf(exponent, seed, { kind: negative ? "halves" : "normal", lane: 1, grad: !negative }),
    ],
    call: negative ? (a: Tensor, b: Tensor) => pow(a, mul(b, 2)) : (a: Tensor, b: Tensor) => pow(a, b),
    magnitude: negative ? (a: Tensor, b: Tensor) => magnitude(a, mul(b, 2)) : magnitude,
    why: `[${base}] to the power [${exponent}], ${negative ? "negative bases, whole exponents" : "positive bases"}, seed ${seed}`,
  })),
  edges: [
    ...binaryEdges(pow, { kind: "positive", magnitude }),
    withNumber(2, [-3, -0.5, 0, 2, 1000]),
    withNumber(3, [-3, -0.5, 0, 2, 1000]),
    withNumber(0, [-3, 0, 2]),
    withNumber(1, [-3, 0, 2]),
    withNumber(-1, [-3, 0.25, 2]),
    withNumber(-2, [-3, 0.25, 2]),
    withNumber(0.5, [0.25, 2, 100]),
    withNumber(5, [-2, -1, 0, 1, 3]),
    withNumber(4, [-2, -1, 0, 1, 3]),
    withNumber(1.5, [0, 1, 4], false),
  ],
  errors: binaryErrors("pow", pow),
  ulps: 8,
  ulpsWhy:
    "WGSL allows log2 an absolute error of 2⁻²¹ and exp2 of 3 + 2·|x| units; the exponent's error counts |b| times",
};
