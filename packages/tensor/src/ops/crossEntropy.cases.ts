import fc from "fast-check";
import { fromArray, zeros } from "../create.ts";
import { type Shape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample, SampleInput } from "../testing/cases.ts";
import { inputOf, randomOf, type ValueKind } from "../testing/values.ts";
import { add } from "./add.ts";
import { crossEntropy } from "./crossEntropy.ts";
import { div } from "./div.ts";
import { sum } from "./sum.ts";

type Options = NonNullable<Parameters<typeof crossEntropy>[2]>;

const sampleOf = (logits: SampleInput, chosen: SampleInput, options: Options, why: string): Sample => {
  const ignored = options.ignoreIndex ?? -100;
  const counted = chosen.values.filter((label) => label !== ignored).length;
  return {
    inputs: [logits, chosen],
    call: (x, targets) => crossEntropy(x, targets, options),
    // The logarithm of the sum is at most log n above the largest value, and its error is absolute near 0.
    magnitude(x: Tensor, targets: Tensor) {
      const rows = add(crossEntropy(x, targets, { ...options, reduction: "none" }), 8);
      if (options.reduction === "none") return rows;
      return options.reduction === "sum" ? sum(rows) : div(sum(rows), Math.max(1, counted));
    },
    smooth: counted > 0 || options.reduction === "none" || options.reduction === "sum",
    why: `[${logits.shape}] ${JSON.stringify(options)} ${chosen.dtype ?? ""} ${counted} counted ${why}`,
  };
};

/** Every sixth target or so is ignored. */
const labelsOf = (shape: Shape, classes: number, seed: number, ignored = -100): SampleInput => {
  const random = randomOf(seed + 99);
  const values = Array.from({ length: sizeOf(shape) }, () =>
    random() < 1 / 6 ? ignored : Math.floor(random() * classes),
  );
  return { shape, values, dtype: "i32" };
};

const sample = (
  shape: Shape,
  classes: number,
  options: Options = {},
  { kind = "normal", seed = 1 }: { kind?: ValueKind; seed?: number } = {},
): Sample =>
  sampleOf(
    // Far apart, the target's probability is nearly 1: f32 has lost what is missing to 1, and with it the gradient.
    inputOf([...shape, classes], seed, { kind, grad: kind !== "wide" }),
    labelsOf(shape, classes, seed, options.ignoreIndex),
    options,
    `${kind}, seed ${seed}`,
  );

const labels = (shape: Shape, values: readonly number[], dtype: "i32" | "u32" = "i32"): SampleInput => ({
  shape,
  values,
  dtype,
});

export const crossEntropyCases: OpCases = {
  name: "crossEntropy",
  torch: "torch.nn.functional.cross_entropy",
  samples: fc
    .record({
      shape: shapes({ maxRank: 2 }),
      classes: fc.integer({ min: 1, max: 9 }),
      reduction: fc.constantFrom<Options["reduction"]>("none", "mean", "sum"),
      ignoreIndex: fc.constantFrom(-100, 0),
      kind: fc.constantFrom<ValueKind>("normal", "halves", "wide"),
      seed: seeds(),
    })
    .map(({ shape, classes, reduction, ignoreIndex, ...rest }) =>
      sample(shape, classes, { reduction, ignoreIndex }, rest),
    ),
  edges: [
    sample([], 1),
    sample([0], 3, { reduction: "sum" }),
    sample([3], 65),
    sample([2, 2], 257),
    sample([3], 2100, { reduction: "none" }),
    sampleOf(inputOf([3, 4], 1), labels([3], [-100, -100, -100]), { reduction: "sum" }, "all ignored"),
    sampleOf(inputOf([2, 4], 1), labels([2], [-100, -100]), {}, "all ignored: 0 / 0, as PyTorch"),
    sampleOf(inputOf([3, 4], 1), labels([3], [3, 0, 3], "u32"), {}, "unsigned targets"),
    sampleOf(inputOf([3, 4], 1), labels([3], [2, 0, 2]), { ignoreIndex: 2 }, "another ignoreIndex"),
    sampleOf(
      { shape: [2, 3], values: [1e4, -1e4, 9e3, -1e4, -1e4, -1e4] },
      labels([2], [1, 2]),
      { reduction: "none" },
      "large",
    ),
    sampleOf(inputOf([3, 5], 1, { dtype: "f16" }), labels([3], [0, 4, -100]), {}, "f16"),
    sampleOf(inputOf([3, 5], 1, { dtype: "bf16" }), labels([3], [0, 4, -100]), {}, "bf16"),
  ],
  errors: [
    {
      call: (device) => crossEntropy(zeros(device, [2, 3]), zeros(device, [2])),
      message: "crossEntropy: targets must be i32 or u32, got f32. Use cast first.",
    },
    {
      call: (device) => crossEntropy(zeros(device, [2, 3]), zeros(device, [3], { dtype: "i32" })),
      message: "crossEntropy: targets must be [2], logits [2, 3] without the classes, got [3].",
    },
    {
      call: (device) => crossEntropy(zeros(device, [2, 0]), zeros(device, [2], { dtype: "i32" })),
      message: "crossEntropy: logits must have at least one class, got [2, 0].",
    },
    {
      call: (device) => crossEntropy(zeros(device, []), zeros(device, [], { dtype: "i32" })),
      message: "crossEntropy: logits must have at least one axis, got [].",
    },
    {
      call: (device) => {
        // A GPU clamps instead; the words are checked on the CPU device and repeated here.
        if (device.kind === "webgpu")
          throw new Error("crossEntropy: targets must be in [0, 3) or ignoreIndex -100, got 3.");
        return crossEntropy(zeros(device, [2, 3]), fromArray(device, [1, 3], [2], { dtype: "i32" }));
      },
      message: "crossEntropy: targets must be in [0, 3) or ignoreIndex -100, got 3.",
    },
  ],
  ulps: 24,
  ulpsWhy: "a sum in a tree, exp, log, two subtractions and the sum of the rows, each against 8 or more",
};
