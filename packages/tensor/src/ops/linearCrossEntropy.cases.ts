import fc from "fast-check";
import { zeros } from "../create.ts";
import type { Device } from "../device/device.ts";
import { type Shape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample, SampleInput } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { inputOf, randomOf } from "../testing/values.ts";
import { add } from "./add.ts";
import { crossEntropy } from "./crossEntropy.ts";
import { div } from "./div.ts";
import { max } from "./extreme.ts";
import { linear } from "./linear.ts";
import { type LinearCrossEntropyOptions, linearCrossEntropy } from "./linearCrossEntropy.ts";
import { matmul } from "./matmul/matmul.ts";
import { mul } from "./mul.ts";
import { sum } from "./sum.ts";

interface Choice extends LinearCrossEntropyOptions {
  readonly features?: number;
  readonly classes?: number;
  /** Rows of logits that exist at once; the rest follows in pieces. */
  readonly atOnce?: number;
  /** A matrix, or a layer with a bias. */
  readonly layer?: boolean;
  readonly seed?: number;
  readonly dtype?: SampleInput["dtype"];
}

/** Every sixth target or so is ignored. */
function labelsOf(shape: Shape, classes: number, seed: number): SampleInput {
  const random = randomOf(seed + 99);
  const values = Array.from({ length: sizeOf(shape) }, () =>
    random() < 1 / 6 ? -100 : Math.floor(random() * classes),
  );
  return { shape, values, dtype: "i32" };
}

/**
 * A quarter of the values: logits of a few units. Where a probability comes near 1, its gradient p − 1 keeps only the rounding of p, in
 * any f32 (PyTorch's too), and is no measure of the kernels.
 */
const mild = (input: SampleInput): SampleInput => ({
  ...input,
  values: input.values.map((value) => value / 4),
});

const sample = (shape: Shape, choice: Choice = {}): Sample => {
  const {
    features = 3,
    classes = 5,
    atOnce = 100,
    layer = false,
    seed = 1,
    reduction = "mean",
    dtype,
  } = choice;
  const targets = labelsOf(shape, classes, seed);
  const counted = targets.values.filter((label) => label >= 0).length;
  return {
    inputs: [
      mild(inputOf([...shape, features], seed)),
      inputOf([classes, features], seed, { lane: 1, dtype }),
      targets,
      ...(layer ? [inputOf([classes], seed, { lane: 2 })] : []),
    ],
    call(x, weight, goals, bias) {
      // A layer's logits and their gradient count twice. The float64 oracle takes other pieces, which must not matter.
      const logitBytes = atOnce * classes * 4 * (layer ? 2 : 1);
      const head = layer
        ? { outFeatures: classes, forward: (rows: Tensor) => mul(linear(rows, weight, bias), 1) }
        : weight;
      return linearCrossEntropy(x, head, goals, { reduction, logitBytes });
    },
    // What crossEntropy allows, and the error of the largest logit.
    magnitude(x, weight, goals, bias) {
      const logits = linear(x, weight, bias);
      const sizes = matmul(absolute(x), absolute(weight), { transposeB: true });
      const each = add(max(bias === undefined ? sizes : add(sizes, absolute(bias)), -1), 8);
      const rows = add(crossEntropy(logits, goals, { reduction: "none" }), each);
      if (reduction === "none") return rows;
      return reduction === "sum" ? sum(rows) : div(sum(rows), Math.max(1, counted));
    },
    smooth: counted > 0 || reduction !== "mean",
    why: `[${shape}] of ${features} by ${classes} classes ${layer ? "of a layer" : ""} ${dtype ?? ""} ${reduction}, ${atOnce} at once, ${counted} counted, seed ${seed}`,
  };
};

const fails = (
  device: Device,
  [x, weight, targets]: readonly [Shape, Shape, Shape],
  dtype: "i32" | "f32" = "i32",
  options: LinearCrossEntropyOptions = {},
): Tensor =>
  linearCrossEntropy(zeros(device, x), zeros(device, weight), zeros(device, targets, { dtype }), options);

export const linearCrossEntropyCases: OpCases = {
  name: "linearCrossEntropy",
  torch: "torch.nn.functional.cross_entropy(torch.nn.functional.linear(x, weight), targets)",
  samples: fc
    .record({
      shape: shapes({ maxRank: 2 }),
      features: fc.integer({ min: 1, max: 6 }),
      classes: fc.integer({ min: 1, max: 9 }),
      atOnce: fc.integer({ min: 1, max: 5 }),
      layer: fc.boolean(),
      reduction: fc.constantFrom<LinearCrossEntropyOptions["reduction"]>("none", "mean", "sum"),
      seed: seeds(),
    })
    .map(({ shape, ...choice }) => sample(shape, choice)),
  edges: [
    sample([], { classes: 1 }),
    sample([0], { reduction: "sum" }),
    sample([0], { reduction: "none" }),
    sample([4], { atOnce: 0.5 }),
    sample([3], { classes: 8 }),
    sample([5], { classes: 65, atOnce: 2 }),
    sample([2, 2], { classes: 260, features: 8 }),
    sample([3], { classes: 2100, features: 4, reduction: "none" }),
    sample([50], { atOnce: 35, reduction: "sum" }),
    sample([7], { atOnce: 2, layer: true }),
    sample([3], { dtype: "bf16", features: 4 }),
  ],
  errors: [
    {
      call: (device) => fails(device, [[2, 3], [5, 3], [2]], "f32"),
      message: "linearCrossEntropy: targets must be i32 or u32, got f32. Use cast first.",
    },
    {
      call: (device) => fails(device, [[2, 3], [5, 3], [3]]),
      message: "linearCrossEntropy: targets must be [2], x [2, 3] without the features, got [3].",
    },
    {
      call: (device) => fails(device, [[2, 3], [3, 5], [2]]),
      message:
        "linearCrossEntropy: x must be [..., features] and head [classes, features], got [2, 3] and [3, 5].",
    },
    {
      call: (device) => fails(device, [[2, 3], [0, 3], [2]]),
      message: "linearCrossEntropy: head must have at least one class, got 0.",
    },
    {
      call: (device) => fails(device, [[2, 3], [5, 3], [2]], "i32", { logitBytes: 0 }),
      message: "linearCrossEntropy: logitBytes must be above 0, got 0.",
    },
  ],
  ulps: 128,
  ulpsWhy:
    "what crossEntropy has, 24, and a product of at most 8 terms; times 4, since rows of the head that nearly agree cancel in the gradient by x, whose logit gradients add up to 0",
};
