import fc from "fast-check";
import { zeros } from "../create.ts";
import type { DType } from "../dtype.ts";
import { scope } from "../scope.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { inputOf } from "../testing/values.ts";
import { add } from "./add.ts";
import { addRmsNorm } from "./addRmsNorm.ts";
import { mul } from "./mul.ts";
import { rmsNorm } from "./rmsNorm.ts";
import { stack } from "./stack.ts";

interface Options {
  readonly weight?: boolean;
  /** Which outputs are read: their gradients take other ways. */
  readonly reads?: "both" | "sum" | "normed";
  readonly eps?: number;
  readonly dtype?: DType;
  readonly seed?: number;
}

const sample = (
  shape: Shape,
  { weight = true, reads = "both", eps = 1e-2, dtype, seed = 1 }: Options = {},
): Sample => {
  const grad = shape[shape.length - 1] > 1; // of one feature only the sign is left
  return {
    inputs: [
      inputOf(shape, seed, { grad }),
      inputOf(shape, seed, { lane: 1, grad }),
      ...(weight ? [inputOf([shape[shape.length - 1]], seed, { lane: 2, dtype })] : []),
    ],
    call: (x, residual, gain) =>
      scope(() => {
        const [sum, normed] = addRmsNorm(x, residual, gain, eps);
        if (reads !== "both") return reads === "sum" ? sum : normed;
        return stack([sum, normed], 0);
      }),
    // The sum may cancel, and the norm divides by what is left.
    magnitude(x, residual, gain) {
      const [sum, normed] = addRmsNorm(x, residual, gain, eps);
      const size = add(absolute(x), absolute(residual));
      const byRow = rmsNorm(sum, undefined, eps);
      const scale = mul(size, 1 / Math.sqrt(eps));
      const lost = gain === undefined ? scale : mul(scale, absolute(gain));
      if (reads === "sum") return size;
      const norms = add(add(absolute(normed), absolute(byRow)), lost);
      return reads === "normed" ? norms : stack([size, norms], 0);
    },
    why: `[${shape}] ${weight ? "" : "without weight"} ${reads} ${dtype ?? ""} eps ${eps}, seed ${seed}`,
  };
};

export const addRmsNormCases: OpCases = {
  name: "addRmsNorm",
  torch: "torch.nn.functional.rms_norm(x + residual)",
  samples: fc
    .record({
      shape: shapes({ minRank: 1, maxSide: 9 }),
      weight: fc.boolean(),
      reads: fc.constantFrom<Options["reads"]>("both", "sum", "normed"),
      seed: seeds(),
    })
    .map(({ shape, ...options }) => sample(shape, options)),
  edges: [
    sample([1]),
    sample([3, 0]),
    sample([0, 3]),
    sample([2, 65]),
    sample([2, 258]),
    sample([2, 2, 576]),
    sample([2, 2100]),
    sample([3, 8], { weight: false, reads: "normed" }),
    sample([3, 8], { reads: "sum" }),
    sample([3, 8], { dtype: "bf16" }),
  ],
  errors: [
    {
      call: (device) => addRmsNorm(zeros(device, []), zeros(device, [])),
      message: "addRmsNorm: x must have at least one axis, got [].",
    },
    {
      call: (device) => addRmsNorm(zeros(device, [2, 3]), zeros(device, [3])),
      message: "addRmsNorm: residual must be [2, 3], the shape of x, got [3].",
    },
    {
      call: (device) => addRmsNorm(zeros(device, [2, 3]), zeros(device, [2, 3]), zeros(device, [2])),
      message: "addRmsNorm: weight must be [3], the last axis of x [2, 3], got [2].",
    },
  ],
  ulps: 36,
  ulpsWhy: "rmsNorm's 32 and those of the sum",
};
