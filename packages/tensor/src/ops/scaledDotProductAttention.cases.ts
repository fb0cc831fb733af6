import fc from "fast-check";
import { zeros } from "../create.ts";
import type { Device } from "../device/device.ts";
import type { DType } from "../dtype.ts";
import { type Shape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { seeds } from "../testing/arbitraries.ts";
import type { OpCases, Sample, SampleInput } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { inputOf, randomOf } from "../testing/values.ts";
import { type AttentionLayout, inLayout } from "./attention/plan.ts";
import { scaledDotProductAttention } from "./scaledDotProductAttention.ts";

interface Sizes {
  readonly batch?: number;
  readonly kvHeads?: number;
  /** Query heads to a key head. */
  readonly group?: number;
  readonly seq?: number;
  readonly keys?: number;
  readonly headDim?: number;
  readonly valueDim?: number;
}

interface Options {
  readonly window?: number;
  /** One number a key, for all texts of the batch. */
  readonly segments?: readonly number[];
  /** Keys that hold values. */
  readonly held?: number;
  readonly layout?: AttentionLayout;
  readonly mask?: SampleInput;
  readonly causal?: boolean;
  readonly scale?: number;
  readonly dtype?: DType;
  readonly seed?: number;
}

const sample = (sizes: Sizes, options: Options = {}): Sample => {
  const { mask, causal, window, segments, held, layout = "bhtd", scale, dtype, seed = 1 } = options;
  const { batch = 1, kvHeads = 1, group = 1, seq = 3, keys = seq, headDim = 4, valueDim = headDim } = sizes;
  // Where no query has a choice, the gradients of q and k are 0, and what is left of them is a rounding.
  const grad = mostSeen(seq, held ?? keys, options) > 1;
  const shape = (heads: number, rows: number, dim: number) => inLayout(layout, [batch, heads, rows, dim]);
  const more: SampleInput[] = [];
  if (mask !== undefined) more.push(mask);
  if (segments !== undefined)
    more.push({ shape: [batch, keys], values: repeated(segments, batch), dtype: "i32" });
  const call = (q: Tensor, k: Tensor, v: Tensor, ...rest: Tensor[]): Tensor =>
    scaledDotProductAttention(q, k, v, {
      mask: mask === undefined ? undefined : rest[0],
      segments: segments === undefined ? undefined : rest[rest.length - 1],
      causal,
      window,
      keys: held,
      layout,
      scale,
    });
  return {
    inputs: [
      { ...inputOf(shape(kvHeads * group, seq, headDim), seed), grad },
      {
        ...inputOf(shape(kvHeads, keys, headDim), seed, { lane: 1, dtype }),
        grad: grad && dtype === undefined,
      },
      inputOf(shape(kvHeads, keys, valueDim), seed, { lane: 2, dtype }),
      ...more,
    ],
    call,
    // The weights are a partition of 1, so an error is one of |v|, averaged by them.
    magnitude: (q, k, v, ...rest) => call(q, k, absolute(v), ...rest),
    why: `${JSON.stringify(sizes)} ${JSON.stringify({ ...options, mask: mask && `${mask.dtype ?? "f32"} [${mask.shape}]` })}`,
  };
};

/** How many keys the query that sees most of them sees. */
function mostSeen(seq: number, keys: number, { causal, window = keys, segments }: Options): number {
  const counts = Array.from({ length: seq }, (_, i) => {
    const position = i + keys - seq;
    const near = (j: number) => causal !== true || (j <= position && j > position - window);
    const alike = (j: number) => segments === undefined || segments[j] === segments[position];
    return Array.from({ length: keys }, (_unused, j) => j).filter((j) => near(j) && alike(j)).length;
  });
  return Math.max(0, ...counts);
}

const repeated = (values: readonly number[], times: number): number[] =>
  Array.from({ length: times * values.length }, (_, i) => values[i % values.length]);

const boolMask = (shape: Shape, seed: number): SampleInput => {
  const random = randomOf(seed);
  return {
    shape,
    values: Array.from({ length: sizeOf(shape) }, () => Number(random() < 0.6)),
    dtype: "bool",
  };
};

const of = (device: Device, ...shapes: Shape[]) => {
  const [q, k, v] = shapes.map((shape) => zeros(device, shape));
  return [q, k, v] as const;
};

export const scaledDotProductAttentionCases: OpCases = {
  name: "scaledDotProductAttention",
  torch: "torch.nn.functional.scaled_dot_product_attention",
  samples: fc
    .record({
      batch: fc.integer({ min: 1, max: 2 }),
      kvHeads: fc.integer({ min: 1, max: 2 }),
      group: fc.integer({ min: 1, max: 3 }),
      seq: fc.integer({ min: 1, max: 5 }),
      cached: fc.integer({ min: 0, max: 3 }),
      // Each has its own pipelines.
      headDim: fc.constantFrom(1, 3, 4, 8),
      causal: fc.boolean(),
      scale: fc.constantFrom(undefined, 0.3),
      mask: fc.constantFrom("none", "none", "keys", "scores", "full", "added"),
      window: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
      segments: fc.option(fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 8, maxLength: 8 }), {
        nil: undefined,
      }),
      layout: fc.constantFrom<AttentionLayout>("bhtd", "bthd"),
      seed: seeds(),
    })
    .map(
      ({
        batch,
        kvHeads,
        group,
        seq,
        cached,
        headDim,
        causal,
        scale,
        mask,
        window,
        segments,
        layout,
        seed,
      }) => {
        const keys = seq + cached;
        const shapes: Record<string, Shape> = {
          keys: [batch, 1, 1, keys],
          scores: [seq, keys],
          full: [batch, kvHeads * group, seq, keys],
        };
        const given =
          mask === "none"
            ? undefined
            : mask === "added"
              ? inputOf([seq, keys], seed, { lane: 3 })
              : boolMask(shapes[mask], seed);
        return sample(
          { batch, kvHeads, group, seq, keys, headDim },
          {
            mask: given,
            causal,
            window: causal ? window : undefined,
            // Runs of keys: packed texts.
            segments: segments?.slice(0, keys).sort(),
            layout,
            scale,
            seed,
          },
        );
      },
    ),
  edges: [
    sample({ seq: 1, headDim: 1 }),
    sample({ seq: 0, keys: 3 }),
    sample({ seq: 2, keys: 0, headDim: 3 }),
    sample({ batch: 0 }),
    sample({ seq: 7, valueDim: 2 }, { causal: true }),
    sample({ kvHeads: 3, group: 3, seq: 5, headDim: 8 }, { causal: true }),
    sample({ seq: 1, keys: 9, kvHeads: 2, group: 2 }, { causal: true }),
    sample({ seq: 5, keys: 3 }, { causal: true }),
    sample({ seq: 3, keys: 131, group: 2 }, { causal: true }),
    sample({ seq: 67, group: 2 }, { causal: true }),
    sample({ seq: 2, keys: 3 }, { mask: { shape: [2, 3], values: [0, 0, 0, 1, 0, 1], dtype: "bool" } }),
    sample({ batch: 2, seq: 3 }, { mask: boolMask([2, 1, 1, 1], 3) }),
    sample({ seq: 4, group: 2 }, { dtype: "bf16", causal: true }),
    sample({ seq: 4, group: 2 }, { dtype: "f16", causal: true }),
    sample({ batch: 2, kvHeads: 2, group: 2, seq: 5, headDim: 8 }, { causal: true, layout: "bthd" }),
    sample({ seq: 3, keys: 9, valueDim: 3 }, { causal: true, window: 4, held: 7, layout: "bthd" }),
    sample({ seq: 9 }, { causal: true, window: 3 }),
    sample({ seq: 3 }, { causal: true, window: 1 }),
    sample({ seq: 6, batch: 2 }, { causal: true, segments: [5, 5, 5, 2, 2, 5] }),
    sample({ seq: 4, keys: 6 }, { segments: [1, 1, 1, 2, 2, 2], held: 5, layout: "bthd" }),
    sample(
      { seq: 4, group: 2 },
      { mask: boolMask([4, 4], 5), causal: true, window: 2, segments: [1, 1, 2, 2], layout: "bthd" },
    ),
    sample({ seq: 4 }, { mask: inputOf([4, 4], 5), causal: true, window: 2, layout: "bthd" }),
  ],
  errors: [
    {
      call: (device) => scaledDotProductAttention(...of(device, [2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4])),
      message: "scaledDotProductAttention: q must be [batch, heads, seq, headDim], got [2, 3, 4].",
    },
    {
      call: (device) => scaledDotProductAttention(...of(device, [1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 3, 4])),
      message:
        "scaledDotProductAttention: k must be [1, kvHeads, keys, 4] for q [1, 2, 3, 4], got [1, 2, 3, 5].",
    },
    {
      call: (device) => scaledDotProductAttention(...of(device, [1, 2, 3, 4], [1, 2, 3, 4], [1, 1, 3, 4])),
      message:
        "scaledDotProductAttention: v must be [1, 2, 3, valueDim] for k [1, 2, 3, 4], got [1, 1, 3, 4].",
    },
    {
      call: (device) => scaledDotProductAttention(...of(device, [1, 3, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4])),
      message: "scaledDotProductAttention: heads must be a multiple of kvHeads, got 3 and 2.",
    },
    {
      call: (device) =>
        scaledDotProductAttention(...of(device, [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]), {
          mask: zeros(device, [3, 4], { dtype: "bool" }),
        }),
      message:
        "scaledDotProductAttention: mask must broadcast to [batch, heads, seq, keys] [1, 2, 3, 3], got [3, 4].",
    },
    {
      call: (device) =>
        scaledDotProductAttention(...of(device, [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]), {
          mask: zeros(device, [3, 3], { dtype: "i32" }),
        }),
      message:
        "scaledDotProductAttention: mask must be bool or a float type, got i32. Use cast to bool first.",
    },
    {
      call: (device) =>
        scaledDotProductAttention(...of(device, [1, 3, 2], [1, 3, 2, 4], [1, 3, 2, 4]), { layout: "bthd" }),
      message: "scaledDotProductAttention: q must be [batch, seq, heads, headDim], got [1, 3, 2].",
    },
    {
      call: (device) =>
        scaledDotProductAttention(...of(device, [1, 3, 2, 4], [1, 5, 2, 4], [1, 4, 2, 4]), {
          layout: "bthd",
        }),
      message:
        "scaledDotProductAttention: v must be [1, 5, 2, valueDim] for k [1, 5, 2, 4], got [1, 4, 2, 4].",
    },
    {
      call: (device) =>
        scaledDotProductAttention(...of(device, [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]), { window: 2 }),
      message: "scaledDotProductAttention: window must be a whole number from 1, and needs causal, got 2.",
    },
    {
      call: (device) =>
        scaledDotProductAttention(...of(device, [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]), {
          causal: true,
          window: 0,
        }),
      message: "scaledDotProductAttention: window must be a whole number from 1, and needs causal, got 0.",
    },
    {
      call: (device) =>
        scaledDotProductAttention(...of(device, [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]), { keys: 4 }),
      message: "scaledDotProductAttention: keys must be a whole number up to 3, the keys of k, got 4.",
    },
    {
      call: (device) =>
        scaledDotProductAttention(...of(device, [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]), {
          segments: zeros(device, [3], { dtype: "i32" }),
        }),
      message: "scaledDotProductAttention: segments must be [batch, keys] [1, 3], got [3].",
    },
    {
      call: (device) =>
        scaledDotProductAttention(...of(device, [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]), {
          segments: zeros(device, [1, 3]),
        }),
      message: "scaledDotProductAttention: segments must be i32, got f32. Use cast.",
    },
    {
      call: (device) =>
        scaledDotProductAttention(...of(device, [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]), {
          keys: 2,
          segments: zeros(device, [1, 3], { dtype: "i32" }),
        }),
      message: "scaledDotProductAttention: segments need at least as many keys as queries, got 2 and 3.",
    },
  ],
  ulps: 600,
  ulpsWhy:
    "a score of 8 products of up to 3 · 3 has an error of 10 roundings of 25, which moves the weights by as much, relative, and their sum too",
};
