import fc from "fast-check";
import { fromArray, zeros } from "../create.ts";
import type { Shape } from "../shape.ts";
import { seeds } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { inputOf, type ValueKind } from "../testing/values.ts";
import { topK } from "./topK.ts";

const found = (
  shape: Shape,
  k: number,
  axis: number,
  { largest = true, kind = "apart", seed = 1 }: { largest?: boolean; kind?: ValueKind; seed?: number } = {},
): Sample => ({
  inputs: [inputOf(shape, seed, { kind })],
  call: (x) => {
    const { values, indices } = topK(x, k, axis, { largest });
    return [values, indices];
  },
  smooth: kind === "apart",
  why: `${k} ${largest ? "largest" : "smallest"} of [${shape}] along ${axis}, ${kind}, seed ${seed}`,
});

export const topKCases: OpCases = {
  name: "topK",
  torch: "torch.topk",
  samples: fc
    .record({
      shape: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 3 }),
      at: fc.nat(),
      k: fc.nat(),
      largest: fc.boolean(),
      kind: fc.constantFrom<ValueKind>("apart", "halves"),
      seed: seeds(),
    })
    .map(({ shape, at, k, largest, kind, seed }) => {
      const axis = at % shape.length;
      return found(shape, k % (shape[axis] + 1), axis, { largest, kind, seed });
    }),
  edges: [
    found([1], 1, 0),
    found([5], 0, 0),
    found([0], 0, 0),
    found([0, 4], 2, 1),
    found([5], 5, 0),
    found([3, 200], 7, -1),
    found([130, 3], 4, 0, { largest: false }),
    found([2, 9, 3], 9, 1, { kind: "halves" }),
    {
      inputs: [{ shape: [5], values: [2, 7, 7, 1, 7] }],
      call: (x) => {
        const { values, indices } = topK(x, 4);
        return [values, indices];
      },
      smooth: false,
      why: "of equals the lower index first",
    },
    {
      inputs: [{ shape: [4], dtype: "i32", values: [-5, 3, 2147483647, -2147483648] }],
      call: (x) => {
        const { values, indices } = topK(x, 3, 0, { largest: false });
        return [values, indices];
      },
      why: "i32",
    },
  ],
  errors: [
    {
      call: (device) => topK(zeros(device, [3]), 4),
      message: "topK: k must be a whole number in [0, 3], got 4.",
    },
    {
      call: (device) => topK(zeros(device, [3]), 1, 1),
      message: "topK: axis must be in [-1, 1), got 1 for [3].",
    },
    {
      call: (device) => topK(fromArray(device, [1], [1], { dtype: "bool" }), 1),
      message: "topK: x must be a number type, got bool. Use cast first.",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied",
};
