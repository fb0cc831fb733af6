import fc from "fast-check";
import { zeros } from "../create.ts";
import type { Shape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { inputOf, type ValueKind } from "../testing/values.ts";
import { add } from "./add.ts";
import { zerosLike } from "./fill.ts";
import { rope } from "./rope.ts";

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
  call: rope,
  magnitude,
  why: `[${[...lead, seq, 2 * half]}] ${dtype ?? ""}${kind}, seed ${seed}`,
});

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
