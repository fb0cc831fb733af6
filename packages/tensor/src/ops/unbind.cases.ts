import fc from "fast-check";
import { zeros } from "../create.ts";
import type { DType } from "../dtype.ts";
import { scope } from "../scope.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { withDim } from "./axis.ts";
import { concat } from "./concat.ts";
import { mul } from "./mul.ts";
import { flatten } from "./reshape.ts";
import { unbind } from "./unbind.ts";

/** Each slice times its own number, so that one in the place of another would show; `skip` leaves one out. */
const unbound = (shape: Shape, axis: number, { seed = 1, skip = -1 } = {}): Sample => ({
  inputs: [inputOf(shape, seed)],
  call: (x) =>
    scope(() => {
      const parts = unbind(x, axis).map((part, i) => flatten(mul(part, i + 1)));
      return concat(parts.filter((_, i) => i !== skip));
    }),
  why: `[${shape}] along ${axis}${skip < 0 ? "" : `, without slice ${skip}`}`,
});

const copied = (dtype: DType): Sample => ({
  inputs: [inputOf([2, 3, 5], 1, { dtype })],
  call: (x) => scope(() => concat(unbind(x, 1), 1)),
  why: dtype,
});

export const unbindCases: OpCases = {
  name: "unbind",
  torch: "torch.unbind",
  samples: fc
    .record({
      shape: shapes({ minRank: 1 }),
      at: fc.nat(),
      parts: fc.integer({ min: 1, max: 9 }),
      seed: seeds(),
    })
    .map(({ shape, at, parts, seed }) => {
      const axis = at % shape.length;
      return unbound(withDim(shape, axis, parts), axis, { seed });
    }),
  edges: [
    unbound([3], 0),
    unbound([2, 3], -1),
    unbound([2, 3, 4], 1),
    unbound([4, 70, 3, 2, 5], 2),
    unbound([2, 7], 1),
    unbound([2, 9], 1),
    unbound([2, 3, 4], 1, { skip: 1 }),
    { ...unbound([2, 3, 0], 1), why: "nothing in any slice" },
    copied("f16"),
    copied("bf16"),
  ],
  errors: [
    {
      call: (device) => unbind(zeros(device, [2]), 1),
      message: "unbind: axis must be in [-1, 1), got 1 for [2].",
    },
  ],
  ulps: 1,
  ulpsWhy: "values are copied; the product with the slice's number rounds once",
};
