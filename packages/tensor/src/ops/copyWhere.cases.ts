import fc from "fast-check";
import { fromArray, zeros } from "../create.ts";
import type { Shape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { concat } from "./concat.ts";
import { copyWhere } from "./copyWhere.ts";
import { mul } from "./mul.ts";
import { reshape } from "./reshape.ts";

const sample = (shapesOf: readonly Shape[], holds: boolean, seed = 1): Sample => ({
  inputs: shapesOf.flatMap((shape, k) =>
    [0, 1].map((side) => inputOf(shape, seed, { kind: "normal", lane: 2 * k + side, grad: false })),
  ),
  call(...inputs) {
    const targets = inputs.filter((_, i) => i % 2 === 0).map((input) => mul(input.detach(), 1));
    const sources = inputs.filter((_, i) => i % 2 === 1);
    copyWhere(fromArray(inputs[0].device, [Number(holds)], [], { dtype: "bool" }), targets, sources);
    return concat(targets.map((target) => reshape(target, [target.size])));
  },
  why: `${shapesOf.map((shape) => `[${shape}]`).join(" ")} ${holds}, seed ${seed}`,
});

const pair = (device: Parameters<typeof zeros>[0], shape: Shape): [Tensor, Tensor] => [
  zeros(device, shape),
  zeros(device, shape),
];

export const copyWhereCases: OpCases = {
  name: "copyWhere",
  torch: "torch.where",
  samples: fc
    .tuple(fc.array(shapes(), { minLength: 1, maxLength: 3 }), fc.boolean(), seeds())
    .map(([list, holds, seed]) => sample(list, holds, seed)),
  edges: [sample([[3]], true), sample([[3]], false), sample([[0], [5, 4]], true)],
  errors: [
    {
      call: (device) => copyWhere(zeros(device, []), ...pair(device, [2])),
      message: "copyWhere: condition must be bool, got f32.",
    },
    {
      call: (device) => copyWhere(zeros(device, [2], { dtype: "bool" }), ...pair(device, [2])),
      message: "copyWhere: condition must be one value, got [2].",
    },
    {
      call: (device) =>
        copyWhere(zeros(device, [], { dtype: "bool" }), zeros(device, [2]), zeros(device, [3])),
      message: "copyWhere: source must be [2], the shape of target, got [3].",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied as they are",
  gradient: "none: it changes its inputs in place",
};
