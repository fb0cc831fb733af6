import fc from "fast-check";
import { zeros } from "../create.ts";
import type { DType } from "../dtype.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { narrow, slice } from "./slice.ts";

const cut = (
  shape: Shape,
  axis: number,
  start?: number,
  end?: number,
  step?: number,
  dtype?: DType,
  seed = 1,
): Sample => ({
  inputs: [inputOf(shape, seed, { dtype, kind: dtype === "i32" || dtype === "bool" ? "apart" : "normal" })],
  call: (x) => slice(x, axis, start, end, step),
  why: `[${shape}] axis ${axis} from ${start} to ${end} by ${step} ${dtype ?? ""}`,
});

export const sliceCases: OpCases = {
  name: "slice",
  torch: "torch.Tensor.__getitem__",
  samples: fc
    .record({
      shape: shapes({ minRank: 1 }),
      at: fc.nat(),
      start: fc.integer({ min: -7, max: 7 }),
      end: fc.integer({ min: -7, max: 7 }),
      step: fc.integer({ min: 1, max: 3 }),
      seed: seeds(),
    })
    .map(({ shape, at, start, end, step, seed }) =>
      cut(shape, at % shape.length, start, end, step, undefined, seed),
    ),
  edges: [
    cut([5], 0),
    cut([5], 0, 2),
    cut([5], 0, 2, 4),
    cut([5], 0, 4, 2),
    cut([5], 0, -2),
    cut([5], 0, 0, -1, 2),
    cut([5], 0, -99, 99),
    cut([0, 3], 0, 0, 5),
    cut([1, 1, 6], 2, 1, 4),
    cut([4, 7], 0, 1, 3),
    cut([4, 7], 1, 1, 6, 2),
    cut([4, 7], -1, 3, 4),
    cut([3, 9, 5], 1, 1, 8, 3),
    cut([40, 9], 1, 1, 5),
    cut([3, 5], 0, 1, 3, 1, "f16"),
    cut([3, 5], 1, 1, 4, 1, "f16"),
    cut([3, 5], 1, 0, 5, 2, "bf16"),
    cut([3, 5], 1, 1, 4, 1, "i32"),
    cut([3, 5], 1, 1, 4, 1, "bool"),
    {
      inputs: [inputOf([6, 4], 1)],
      call: (x) => slice(slice(x, 0, 1, 5), 0, 1, 3),
      why: "a view of a view",
    },
  ],
  errors: [
    {
      call: (device) => slice(zeros(device, [2, 3]), 2),
      message: "slice: axis must be in [-2, 2), got 2 for [2, 3].",
    },
    {
      call: (device) => slice(zeros(device, [2, 3]), 0, 0, 2, -1),
      message: "slice: step must be a whole number of at least 1, got -1.",
    },
    {
      call: (device) => slice(zeros(device, [2, 3]), 0, 0.5),
      message: "slice: start must be a whole number, got 0.5.",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied",
};

const narrowed = (shape: Shape, axis: number, start: number, length: number, seed = 1): Sample => ({
  inputs: [inputOf(shape, seed)],
  call: (x) => narrow(x, axis, start, length),
  why: `[${shape}] axis ${axis}, ${length} from ${start}`,
});

export const narrowCases: OpCases = {
  name: "narrow",
  torch: "torch.narrow",
  samples: fc
    .record({ shape: shapes({ minRank: 1 }), at: fc.nat(), start: fc.nat(), length: fc.nat(), seed: seeds() })
    .map(({ shape, at, start, length, seed }) => {
      const axis = at % shape.length;
      const first = start % (shape[axis] + 1);
      return narrowed(shape, axis, first, length % (shape[axis] - first + 1), seed);
    }),
  edges: [
    narrowed([5], 0, 5, 0),
    narrowed([5], -1, -3, 2),
    narrowed([3, 4], 1, 0, 4),
    narrowed([3, 4], 0, 1, 1),
  ],
  errors: [
    {
      call: (device) => narrow(zeros(device, [4]), 0, 2, 3),
      message: "narrow: start and start + length must be in [0, 4], got start 2 and length 3.",
    },
    {
      call: (device) => narrow(zeros(device, [4]), 1, 0, 0),
      message: "narrow: axis must be in [-1, 1), got 1 for [4].",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied",
};
