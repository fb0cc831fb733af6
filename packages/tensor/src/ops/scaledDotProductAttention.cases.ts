import fc from "fast-check";
import { zeros } from "../create.ts";
import type { Device } from "../device/device.ts";
import type { DType } from "../dtype.ts";
import { type Shape, sizeOf } from "../shape.ts";
import { seeds } from "../testing/arbitraries.ts";
import type { OpCases, Sample, SampleInput } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { inputOf, randomOf } from "../testing/values.ts";
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
  readonly mask?: SampleInput;
  readonly causal?: boolean;
  readonly scale?: number;
  readonly dtype?: DType;
  readonly seed?: number;
}

const sample = (sizes: Sizes, { mask, causal, scale, dtype, seed = 1 }: Options = {}): Sample => {
  const { batch = 1, kvHeads = 1, group = 1, seq = 3, keys = seq, headDim = 4, valueDim = headDim } = sizes;
  return {
    inputs: [
      inputOf([batch, kvHeads * group, seq, headDim], seed),
      inputOf([batch, kvHeads, keys, headDim], seed, { lane: 1, dtype }),
      inputOf([batch, kvHeads, keys, valueDim], seed, { lane: 2, dtype }),
      ...(mask === undefined ? [] : [mask]),
    ],
    call: (q, k, v, allowed) => scaledDotProductAttention(q, k, v, { mask: allowed, causal, scale }),
    // The weights are a partition of 1, so an error is one of |v|, averaged by them.
    magnitude: (q, k, v, allowed) =>
      scaledDotProductAttention(q, k, absolute(v), { mask: allowed, causal, scale }),
    why: `${JSON.stringify(sizes)} ${causal ? "causal " : ""}scale ${scale ?? "by headDim"} ${mask === undefined ? "" : `mask ${mask.dtype ?? "f32"} [${mask.shape}]`} ${dtype ?? ""}, seed ${seed}`,
  };
};

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
      headDim: fc.integer({ min: 1, max: 8 }),
      causal: fc.boolean(),
      scale: fc.constantFrom(undefined, 0.3),
      mask: fc.constantFrom("none", "keys", "scores", "full", "added"),
      seed: seeds(),
    })
    .map(({ batch, kvHeads, group, seq, cached, headDim, causal, scale, mask, seed }) => {
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
      return sample({ batch, kvHeads, group, seq, keys, headDim }, { mask: given, causal, scale, seed });
    }),
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
  ],
  ulps: 600,
  ulpsWhy:
    "a score of 8 products of up to 3 · 3 has an error of 10 roundings of 25, which moves the weights by as much, relative, and their sum too",
};
