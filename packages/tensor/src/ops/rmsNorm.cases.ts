import fc from "fast-check";
import { zeros } from "../create.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample, SampleInput } from "../testing/cases.ts";
import { inputOf, type ValueKind } from "../testing/values.ts";
import { rmsNorm } from "./rmsNorm.ts";

interface Options {
  readonly weight?: boolean | SampleInput;
  readonly eps?: number;
  readonly kind?: ValueKind;
  readonly seed?: number;
}

const sampleOf = (x: SampleInput, { weight = true, eps, seed = 1 }: Options, why: string): Sample => {
  const gain =
    typeof weight === "object" ? weight : inputOf([x.shape[x.shape.length - 1]], seed, { lane: 1 });
  return {
    inputs: weight === false ? [x] : [x, gain],
    call: (rows, gains) => rmsNorm(rows, gains, eps),
    why: `[${x.shape}]${weight === false ? " without weight" : ""} eps ${eps ?? "as given"} ${why}`,
  };
};

const sample = (shape: Shape, options: Options = {}): Sample => {
  const { kind = "normal", seed = 1 } = options;
  // Of one feature only the sign is left: the gradient by x is what eps leaves of a difference of equal numbers.
  const grad = shape[shape.length - 1] > 1;
  return sampleOf(inputOf(shape, seed, { kind, grad }), options, `${kind}, seed ${seed}`);
};

export const rmsNormCases: OpCases = {
  name: "rmsNorm",
  torch: "torch.nn.functional.rms_norm",
  samples: fc
    .record({
      shape: shapes({ minRank: 1, maxSide: 9 }),
      weight: fc.boolean(),
      eps: fc.constantFrom(undefined, 1e-6, 1e-2),
      kind: fc.constantFrom<ValueKind>("normal", "wide"),
      seed: seeds(),
    })
    .map(({ shape, ...options }) => sample(shape, options)),
  edges: [
    sample([1]),
    sample([3, 0]),
    sample([0, 3]),
    sample([2, 65]),
    sample([2, 257], { weight: false }),
    sample([2, 2, 576]),
    sample([2, 2100]),
    sampleOf({ shape: [2, 4], values: new Array(8).fill(0) }, { eps: 1e-2 }, "eps keeps a zero row finite"),
    sampleOf({ shape: [1, 3], values: [1e4, -2e4, 3e4] }, {}, "large"),
    sampleOf(inputOf([3, 6], 1), { weight: inputOf([6], 2, { dtype: "bf16" }) }, "weight in bf16"),
    sampleOf(inputOf([3, 7], 1), { weight: inputOf([7], 2, { dtype: "f16" }) }, "weight in f16"),
    sampleOf(inputOf([3, 5], 1, { dtype: "f16" }), {}, "x in f16"),
  ],
  errors: [
    {
      call: (device) => rmsNorm(zeros(device, []), zeros(device, [8])),
      message: "rmsNorm: x must have at least one axis, got [].",
    },
    {
      call: (device) => rmsNorm(zeros(device, [2, 8]), zeros(device, [7])),
      message: "rmsNorm: weight must be [8], the last axis of x [2, 8], got [7].",
    },
    {
      call: (device) => rmsNorm(zeros(device, [2, 8]), zeros(device, [8], { dtype: "i32" })),
      message: "rmsNorm: dtypes must agree, got x f32 and weight i32. Use cast on one of them.",
    },
    {
      call: (device) => rmsNorm(zeros(device, [2, 8], { dtype: "i32" })),
      message: "rmsNorm: x must be a float type, got i32. Use cast first.",
    },
  ],
  ulps: 32,
  ulpsWhy:
    "a sum of squares in a tree of at most 25 additions, halved by the root, inverseSqrt, two products",
};
