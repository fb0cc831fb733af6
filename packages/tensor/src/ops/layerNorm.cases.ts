import fc from "fast-check";
import { zeros } from "../create.ts";
import type { Shape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample, SampleInput } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { inputOf, type ValueKind } from "../testing/values.ts";
import { add } from "./add.ts";
import { layerNorm } from "./layerNorm.ts";
import { mean } from "./mean.ts";
import { mul } from "./mul.ts";
import { pow } from "./pow.ts";
import { sub } from "./sub.ts";

type Affine = "none" | "weight" | "bias" | "both";

interface Options {
  readonly affine?: Affine;
  readonly eps?: number;
  readonly kind?: ValueKind;
  readonly seed?: number;
  readonly dtype?: SampleInput["dtype"];
}

/** (|x| + mean |x|) · r · |weight| + |bias|: the subtraction of the mean may cancel. */
function magnitude(x: Tensor, weight: Tensor | undefined, bias: Tensor | undefined, eps: number): Tensor {
  if (x.size === 0) return x;
  const rowMean = (v: Tensor): Tensor => mean(v, -1, { keepDim: true });
  const offset = sub(x, rowMean(x));
  const r = pow(add(rowMean(mul(offset, offset)), eps), -0.5);
  const unit = mul(add(absolute(x), rowMean(absolute(x))), r);
  const scaled = weight === undefined ? unit : mul(unit, absolute(weight));
  return bias === undefined ? scaled : add(scaled, absolute(bias));
}

const sample = (shape: Shape, options: Options = {}): Sample => {
  const { affine = "both", eps = 1e-5, kind = "normal", seed = 1, dtype } = options;
  const features = [shape[shape.length - 1]];
  // One or two features are 0 or ±1 afterwards: the gradient by x is what eps leaves of a difference of equal numbers.
  const x = inputOf(shape, seed, { kind, grad: shape[shape.length - 1] > 2 });
  const weight = inputOf(features, seed, { lane: 1, dtype });
  const bias = inputOf(features, seed, { lane: 2, dtype });
  const split = (first: Tensor | undefined, second: Tensor | undefined) =>
    affine === "bias" ? ([undefined, first] as const) : ([first, second] as const);
  return {
    inputs: [
      x,
      ...(affine === "weight" || affine === "both" ? [weight] : []),
      ...(affine === "bias" || affine === "both" ? [bias] : []),
    ],
    call: (rows, first, second) => layerNorm(rows, ...split(first, second), eps),
    magnitude: (rows, first, second) => magnitude(rows, ...split(first, second), eps),
    why: `[${shape}] affine ${affine} ${dtype ?? ""} eps ${eps} ${kind}, seed ${seed}`,
  };
};

export const layerNormCases: OpCases = {
  name: "layerNorm",
  torch: "torch.nn.functional.layer_norm",
  samples: fc
    .record({
      shape: shapes({ minRank: 1, maxSide: 9 }),
      affine: fc.constantFrom<Affine>("none", "weight", "bias", "both"),
      eps: fc.constantFrom(1e-5, 1e-2),
      kind: fc.constantFrom<ValueKind>("normal", "wide"),
      seed: seeds(),
    })
    .map(({ shape, ...options }) => sample(shape, options)),
  edges: [
    sample([1], { eps: 1e-2 }),
    sample([3, 0]),
    sample([0, 3]),
    sample([2, 65]),
    sample([2, 257], { affine: "none" }),
    sample([2, 2, 768]),
    sample([1, 2100], { affine: "weight" }),
    sample([3, 6], { dtype: "bf16" }),
    sample([3, 7], { dtype: "f16", affine: "bias" }),
  ],
  errors: [
    {
      call: (device) => layerNorm(zeros(device, [])),
      message: "layerNorm: x must have at least one axis, got [].",
    },
    {
      call: (device) => layerNorm(zeros(device, [2, 8]), zeros(device, [1, 8])),
      message: "layerNorm: weight must be [8], the last axis of x [2, 8], got [1, 8].",
    },
    {
      call: (device) => layerNorm(zeros(device, [2, 8]), zeros(device, [8]), zeros(device, [2])),
      message: "layerNorm: bias must be [8], the last axis of x [2, 8], got [2].",
    },
    {
      call: (device) => layerNorm(zeros(device, [2, 8]), undefined, zeros(device, [2])),
      message: "layerNorm: bias must be [8], the last axis of x [2, 8], got [2].",
    },
  ],
  ulps: 40,
  ulpsWhy: "two sums in a tree of at most 25 additions, inverseSqrt, a division, two products and two sums",
};
