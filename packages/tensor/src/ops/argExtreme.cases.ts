import fc from "fast-check";
import { fromArray, zeros } from "../create.ts";
import type { Shape } from "../shape.ts";
import { seeds } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { inputOf, type ValueKind } from "../testing/values.ts";
import { argmax, argmin } from "./argExtreme.ts";

function casesOf(name: "argmax" | "argmin", fn: typeof argmax): OpCases {
  const at = (
    shape: Shape,
    axis?: number,
    keepDim = false,
    kind: ValueKind = "halves",
    seed = 1,
  ): Sample => ({
    inputs: [inputOf(shape, seed, { kind })],
    call: (x) => fn(x, axis, { keepDim }),
    why: `[${shape}] along ${axis}${keepDim ? ", axis kept" : ""}, ${kind}, seed ${seed}`,
  });
  return {
    name,
    torch: `torch.${name}`,
    samples: fc
      .record({
        shape: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 }),
        at: fc.nat(),
        all: fc.boolean(),
        keepDim: fc.boolean(),
        kind: fc.constantFrom<ValueKind>("halves", "apart"),
        seed: seeds(),
      })
      .map(({ shape, at: axis, all, keepDim, kind, seed }) =>
        at(shape, all ? undefined : axis % shape.length, keepDim, kind, seed),
      ),
    edges: [
      at([]),
      at([1], 0),
      at([0, 3], 1),
      at([200]),
      at([3, 131], -1),
      at([131, 3], 0, true),
      at([2, 5, 3], 1, false, "apart"),
      {
        inputs: [{ shape: [6], values: [2, 2, 2, 2, 2, 2] }],
        call: (x) => fn(x),
        why: "the first of equals",
      },
      { inputs: [{ shape: [4], dtype: "i32", values: [3, -1, 7, -9] }], call: (x) => fn(x), why: "i32" },
      { inputs: [inputOf([5], 1, { dtype: "bf16" })], call: (x) => fn(x), why: "bf16" },
    ],
    errors: [
      {
        call: (device) => fn(zeros(device, [2, 0]), 1),
        message: `${name}: there must be at least one value, got [2, 0].`,
      },
      {
        call: (device) => fn(zeros(device, [2]), 1),
        message: `${name}: axis must be in [-1, 1), got 1 for [2].`,
      },
      {
        call: (device) => fn(fromArray(device, [1], [1], { dtype: "bool" })),
        message: `${name}: x must be a number type, got bool. Use cast first.`,
      },
    ],
    ulps: 0,
    ulpsWhy: "an index has no rounding",
    gradient: "none: an index does not change smoothly",
  };
}

export const argmaxCases: OpCases = casesOf("argmax", argmax);
export const argminCases: OpCases = casesOf("argmin", argmin);
