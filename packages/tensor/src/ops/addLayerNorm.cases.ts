import fc from "fast-check";
import { zeros } from "../create.ts";
import type { DType } from "../dtype.ts";
import { scope } from "../scope.ts";
import type { Shape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { inputOf } from "../testing/values.ts";
import { add } from "./add.ts";
import { addLayerNorm } from "./addLayerNorm.ts";
import { max } from "./extreme.ts";
import { mul } from "./mul.ts";
import { stack } from "./stack.ts";

interface Options {
  readonly bias?: boolean;
  /** Which outputs are read: their gradients take other ways. */
  readonly reads?: "both" | "sum" | "normed";
  readonly dtype?: DType;
  readonly seed?: number;
}

const EPS = 1e-2;

const sample = (shape: Shape, { bias = true, reads = "both", dtype, seed = 1 }: Options = {}): Sample => {
  const features = [shape[shape.length - 1]];
  const grad = shape[shape.length - 1] > 2; // one or two features are 0 or ±1 afterwards
  const read = (...inputs: Tensor[]): Tensor => {
    const [x, residual, weight, shift] = inputs;
    const [sum, normed] = addLayerNorm(x, residual, weight, shift, EPS);
    if (reads !== "both") return reads === "sum" ? sum : normed;
    return stack([sum, normed], 0);
  };
  return {
    inputs: [
      inputOf(shape, seed, { grad }),
      inputOf(shape, seed, { lane: 1, grad }),
      inputOf(features, seed, { lane: 2, dtype }),
      ...(bias ? [inputOf(features, seed, { lane: 3, dtype })] : []),
    ],
    call: (...inputs) => scope(() => read(...inputs)),
    // The sum may cancel, its mean is taken away, and the norm divides by what is left, at least √eps.
    magnitude(x, residual, weight, shift) {
      const size = add(absolute(x), absolute(residual));
      if (reads === "sum") return size;
      const row = shape[shape.length - 1] === 0 ? size : max(size, -1, { keepDim: true });
      const scaled = mul(mul(add(size, row), 1 / Math.sqrt(EPS)), absolute(weight));
      const norms = shift === undefined ? scaled : add(scaled, absolute(shift));
      return reads === "normed" ? norms : stack([size, norms], 0);
    },
    why: `[${shape}] ${bias ? "" : "without bias"} ${reads} ${dtype ?? ""}, seed ${seed}`,
  };
};

export const addLayerNormCases: OpCases = {
  name: "addLayerNorm",
  torch: "torch.nn.functional.layer_norm(x + residual)",
  samples: fc
    .record({
      shape: shapes({ minRank: 1, maxSide: 9 }),
      bias: fc.boolean(),
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
    sample([2, 2, 768]),
    sample([3, 8], { bias: false, reads: "normed" }),
    sample([3, 8], { reads: "sum" }),
    sample([3, 8], { dtype: "bf16" }),
  ],
  errors: [
    {
      call: (device) => addLayerNorm(zeros(device, []), zeros(device, []), zeros(device, [1])),
      message: "addLayerNorm: x must have at least one axis, got [].",
    },
    {
      call: (device) => addLayerNorm(zeros(device, [2, 3]), zeros(device, [3]), zeros(device, [3])),
      message: "addLayerNorm: residual must be [2, 3], the shape of x, got [3].",
    },
    {
      call: (device) =>
        addLayerNorm(zeros(device, [2, 3]), zeros(device, [2, 3]), zeros(device, [3]), zeros(device, [2])),
      message: "addLayerNorm: bias must be [3], the last axis of x [2, 3], got [2].",
    },
  ],
  ulps: 44,
  ulpsWhy: "layerNorm's 40 and those of the sum",
};
