import fc from "fast-check";
import { zeros } from "../create.ts";
import type { DType } from "../dtype.ts";
import { type Shape, sizeOf } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { flatten, reshape, squeeze, unsqueeze } from "./reshape.ts";

const exact = { ulps: 0, ulpsWhy: "the storage is shared" } as const;

const reshaped = (from: Shape, to: Shape, dtype?: DType, seed = 1): Sample => ({
  inputs: [inputOf(from, seed, { dtype })],
  call: (x) => reshape(x, to),
  why: `[${from}] as [${to}] ${dtype ?? ""}`,
});

export const reshapeCases: OpCases = {
  name: "reshape",
  torch: "torch.reshape",
  samples: fc
    .tuple(shapes(), fc.constantFrom("flat", "reversed", "unknown"), seeds())
    .map(([shape, form, seed]) => {
      const size = sizeOf(shape);
      if (form === "flat") return reshaped(shape, [size], undefined, seed);
      if (form === "reversed" || size === 0) return reshaped(shape, [...shape].reverse(), undefined, seed);
      return reshaped(shape, [shape[0] ?? 1, -1], undefined, seed);
    }),
  edges: [
    reshaped([], [1, 1]),
    reshaped([1], []),
    reshaped([0, 3], [5, 0]),
    reshaped([0, 3], [-1, 3]),
    reshaped([2, 3], [2, 3]),
    reshaped([2, 3], [-1], "f16"),
  ],
  errors: [
    {
      call: (device) => reshape(zeros(device, [2, 3]), [4, 2]),
      message: "reshape: 6 values of [2, 3] do not fill [4, 2].",
    },
    {
      call: (device) => reshape(zeros(device, [2, 3]), [4, -1]),
      message: "reshape: 6 values of [2, 3] do not fill [4, -1].",
    },
    {
      call: (device) => reshape(zeros(device, [0]), [0, -1]),
      message: "reshape: 0 values of [0] do not fill [0, -1].",
    },
    {
      call: (device) => reshape(zeros(device, [4]), [-1, -1]),
      message: "reshape: at most one size may be -1, got [-1, -1].",
    },
    {
      call: (device) => reshape(zeros(device, [4]), [-2, -2]),
      message: "reshape: sizes must be whole numbers, got [-2, -2].",
    },
  ],
  ...exact,
};

const flattened = (shape: Shape, start?: number, end?: number, seed = 1): Sample => ({
  inputs: [inputOf(shape, seed)],
  call: (x) => flatten(x, start, end),
  why: `[${shape}] from ${start} to ${end}`,
});

export const flattenCases: OpCases = {
  name: "flatten",
  torch: "torch.flatten",
  samples: fc.tuple(shapes({ minRank: 1 }), fc.nat(), fc.nat(), seeds()).map(([shape, a, b, seed]) => {
    const start = a % shape.length;
    return flattened(shape, start, start + (b % (shape.length - start)), seed);
  }),
  edges: [flattened([]), flattened([2, 3, 4], 1), flattened([2, 3, 4], -3, -2), flattened([0, 3])],
  errors: [
    {
      call: (device) => flatten(zeros(device, [2, 3]), 1, 0),
      message: "flatten: start and end must be axes in order, got 1 and 0 for [2, 3].",
    },
    {
      call: (device) => flatten(zeros(device, [2, 3]), 0, 2),
      message: "flatten: start and end must be axes in order, got 0 and 2 for [2, 3].",
    },
  ],
  ...exact,
};

const squeezed = (shape: Shape, axis?: number, seed = 1): Sample => ({
  inputs: [inputOf(shape, seed)],
  call: (x) => squeeze(x, axis),
  why: `[${shape}] without axis ${axis}`,
});

export const squeezeCases: OpCases = {
  name: "squeeze",
  torch: "torch.squeeze",
  samples: fc.tuple(shapes(), fc.nat({ max: 4 }), seeds()).map(([shape, at, seed]) => {
    const axis = Math.min(at, shape.length);
    return squeezed(
      [...shape.slice(0, axis), 1, ...shape.slice(axis)],
      at % 2 === 0 ? axis : undefined,
      seed,
    );
  }),
  edges: [squeezed([]), squeezed([1, 1]), squeezed([2, 1], -1), squeezed([1, 0, 1])],
  errors: [
    {
      call: (device) => squeeze(zeros(device, [2, 1]), 0),
      message: "squeeze: axis 0 must have size 1, got [2, 1].",
    },
    {
      call: (device) => squeeze(zeros(device, [2, 1]), 2),
      message: "squeeze: axis 2 must have size 1, got [2, 1].",
    },
  ],
  ...exact,
};

const unsqueezed = (shape: Shape, axis: number, seed = 1): Sample => ({
  inputs: [inputOf(shape, seed)],
  call: (x) => unsqueeze(x, axis),
  why: `[${shape}] with an axis at ${axis}`,
});

export const unsqueezeCases: OpCases = {
  name: "unsqueeze",
  torch: "torch.unsqueeze",
  samples: fc
    .tuple(shapes(), fc.nat(), fc.boolean(), seeds())
    .map(([shape, at, negative, seed]) =>
      unsqueezed(shape, negative ? -1 - (at % (shape.length + 1)) : at % (shape.length + 1), seed),
    ),
  edges: [unsqueezed([], 0), unsqueezed([], -1), unsqueezed([0, 2], 1)],
  errors: [
    {
      call: (device) => unsqueeze(zeros(device, [2]), 2),
      message: "unsqueeze: axis must be in [-2, 2), got 2.",
    },
    {
      call: (device) => unsqueeze(zeros(device, [2]), -3),
      message: "unsqueeze: axis must be in [-2, 2), got -3.",
    },
  ],
  ...exact,
};
