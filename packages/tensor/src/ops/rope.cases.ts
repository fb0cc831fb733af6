import fc from "fast-check";
import { zeros } from "../create.ts";
import { scope } from "../scope.ts";
import type { Shape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { inputOf, type ValueKind } from "../testing/values.ts";
import { add } from "./add.ts";
import { concat } from "./concat.ts";
import { zerosLike } from "./fill.ts";
import { reshape } from "./reshape.ts";
import { rope, ropeTogether } from "./rope.ts";

/** Each value is two products: |x₁·cos| + |x₂·sin|, and the other way round. */
function magnitude(x: Tensor, cos: Tensor, sin: Tensor): Tensor {
  const none = zerosLike(cos);
  return add(absolute(rope(x, cos, none)), absolute(rope(x, none, sin)));
}

/** `lead` axes, then [seq, 2 · half]. The tables hold any numbers: rope need not know that they are cosines. */
const sample = (
  lead: Shape,
  seq: number,
  half: number,
  { kind = "normal", seed = 1, dtype }: { kind?: ValueKind; seed?: number; dtype?: "f16" | "bf16" } = {},
): Sample => ({
  inputs: [
    inputOf([...lead, seq, 2 * half], seed, { kind, dtype }),
    inputOf([seq, half], seed, { lane: 1 }),
    inputOf([seq, half], seed, { lane: 2 }),
  ],
  call: (x, cos, sin) => rope(x, cos, sin),
  magnitude,
  why: `[${[...lead, seq, 2 * half]}] ${dtype ?? ""}${kind}, seed ${seed}`,
});

/** The same with an axis of heads before the last, and tables of which `start` rows are left out. */
const among = (lead: Shape, seq: number, heads: number, half: number, start: number, seed = 1): Sample => {
  const options = { layout: "bthd", start } as const;
  return {
    inputs: [
      inputOf([...lead, seq, heads, 2 * half], seed),
      inputOf([start + seq + 2, half], seed, { lane: 1 }),
      inputOf([start + seq + 2, half], seed, { lane: 2 }),
    ],
    call: (x, cos, sin) => rope(x, cos, sin, options),
    magnitude: (x, cos, sin) => {
      const none = zerosLike(cos);
      return add(absolute(rope(x, cos, none, options)), absolute(rope(x, none, sin, options)));
    },
    why: `[${[...lead, seq, heads, 2 * half]}] by heads from ${start}, seed ${seed}`,
  };
};

export const ropeCases: OpCases = {
  name: "rope",
  torch: "transformers' apply_rotary_pos_emb",
  samples: fc
    .record({
      lead: shapes({ maxRank: 2, maxSide: 3 }),
      seq: fc.integer({ min: 0, max: 7 }),
      half: fc.integer({ min: 1, max: 6 }),
      kind: fc.constantFrom<ValueKind>("normal", "wide"),
      seed: seeds(),
    })
    .map(({ lead, seq, half, ...options }) => sample(lead, seq, half, options)),
  edges: [
    sample([], 1, 1),
    sample([2, 3], 5, 32),
    sample([1, 2], 70, 3),
    sample([2], 3, 0),
    sample([2, 2], 3, 4, { dtype: "f16" }),
    sample([2, 2], 3, 4, { dtype: "bf16" }),
    among([2], 5, 3, 4, 0),
    among([2], 3, 2, 3, 4),
    among([], 1, 1, 1, 7),
    among([2], 3, 0, 4, 1),
  ],
  errors: [
    {
      call: (device) => rope(zeros(device, [2, 3, 5]), zeros(device, [3, 2]), zeros(device, [3, 2])),
      message: "rope: x must be [..., seq, headDim] with an even headDim, got [2, 3, 5].",
    },
    {
      call: (device) => rope(zeros(device, [2, 3, 4]), zeros(device, [3, 4]), zeros(device, [3, 2])),
      message: "rope: cos must be [3, 2], [seq, headDim / 2] of x [2, 3, 4], got [3, 4].",
    },
    {
      call: (device) => rope(zeros(device, [2, 3, 4]), zeros(device, [3, 2]), zeros(device, [4, 2])),
      message: "rope: sin must be [3, 2], [seq, headDim / 2] of x [2, 3, 4], got [4, 2].",
    },
  ],
  ulps: 4,
  ulpsWhy: "two products, a sum and the store",
};

/** Queries and keys with their own numbers of heads, laid in one row, so that the magnitudes of both count. */
const both = (batch: number, seq: number, heads: number, kvHeads: number, half: number, seed = 1): Sample => {
  const inRow = (xs: readonly Tensor[]): Tensor => concat(xs.map((x) => reshape(x, [x.size])));
  const call = (q: Tensor, k: Tensor, cos: Tensor, sin: Tensor): Tensor =>
    scope(() => inRow(ropeTogether([q, k], cos, sin, { layout: "bthd" })));
  return {
    inputs: [
      inputOf([batch, seq, heads, 2 * half], seed),
      inputOf([batch, seq, kvHeads, 2 * half], seed, { lane: 1 }),
      inputOf([seq, half], seed, { lane: 2 }),
      inputOf([seq, half], seed, { lane: 3 }),
    ],
    call,
    magnitude: (q, k, cos, sin) => {
      const none = zerosLike(cos);
      return add(absolute(call(q, k, cos, none)), absolute(call(q, k, none, sin)));
    },
    why: `[${[batch, seq, heads, 2 * half]}] with ${kvHeads} key heads, seed ${seed}`,
  };
};

export const ropeTogetherCases: OpCases = {
  name: "ropeTogether",
  torch: "transformers' apply_rotary_pos_emb",
  samples: fc
    .record({
      batch: fc.integer({ min: 1, max: 2 }),
      seq: fc.integer({ min: 1, max: 4 }),
      kvHeads: fc.integer({ min: 1, max: 2 }),
      group: fc.integer({ min: 1, max: 3 }),
      half: fc.integer({ min: 1, max: 4 }),
      seed: seeds(),
    })
    .map(({ batch, seq, kvHeads, group, half, seed }) =>
      both(batch, seq, kvHeads * group, kvHeads, half, seed),
    ),
  edges: [both(1, 1, 1, 1, 1), both(2, 3, 9, 3, 4), both(1, 0, 2, 1, 2)],
  errors: [
    {
      call: (device) =>
        ropeTogether([zeros(device, [1, 3, 2, 4])], zeros(device, [3, 2]), zeros(device, [3, 2]), {
          layout: "bthd",
          start: 1,
        }),
      message: "rope: cos must be [at least 4, 2], [start + seq, headDim / 2] of x [1, 3, 2, 4], got [3, 2].",
    },
    {
      call: (device) =>
        ropeTogether([zeros(device, [3, 4])], zeros(device, [3, 2]), zeros(device, [3, 2]), {
          layout: "bthd",
        }),
      message: "rope: x must be [..., seq, heads, headDim] with an even headDim, got [3, 4].",
    },
    {
      call: (device) =>
        ropeTogether([zeros(device, [3, 4])], zeros(device, [3, 2]), zeros(device, [3, 2]), { start: -1 }),
      message: "rope: start must be a whole number from 0, got -1.",
    },
    {
      call: (device) =>
        ropeTogether([zeros(device, [3, 4])], zeros(device, [3, 2]), zeros(device, [5, 2]), { start: 0 }),
      message: "rope: cos and sin must have one shape, got [3, 2] and [5, 2].",
    },
  ],
  ulps: 4,
  ulpsWhy: "two products, a sum and the store",
};
