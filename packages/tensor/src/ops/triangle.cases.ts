import fc from "fast-check";
import { zeros } from "../create.ts";
import type { DType } from "../dtype.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { tril, triu } from "./triangle.ts";

function casesOf(name: "tril" | "triu", fn: typeof tril): OpCases {
  const cut = (shape: Shape, diagonal?: number, dtype?: DType, seed = 1): Sample => ({
    inputs: [inputOf(shape, seed, { dtype })],
    call: (x) => fn(x, diagonal),
    why: `[${shape}] at ${diagonal} ${dtype ?? ""}`,
  });
  return {
    name,
    torch: `torch.${name}`,
    samples: fc
      .tuple(shapes({ minRank: 2 }), fc.integer({ min: -6, max: 6 }), seeds())
      .map(([shape, diagonal, seed]) => cut(shape, diagonal, undefined, seed)),
    edges: [
      cut([1, 1]),
      cut([0, 3]),
      cut([3, 0]),
      cut([4, 4]),
      cut([2, 3, 5], 1),
      cut([5, 3], -1),
      cut([12, 11], -2),
      cut([3, 5], 0, "f16"),
      cut([3, 3], 0, "bf16"),
      {
        inputs: [{ shape: [2, 2], dtype: "bool", values: [1, 1, 1, 1] }],
        call: (x) => fn(x),
        why: "bool",
      },
    ],
    errors: [
      {
        call: (device) => fn(zeros(device, [3])),
        message: `${name}: x must have at least 2 axes, got [3].`,
      },
      {
        call: (device) => fn(zeros(device, [3, 3]), 0.5),
        message: `${name}: diagonal must be a whole number, got 0.5.`,
      },
    ],
    ulps: 0,
    ulpsWhy: "values are copied",
  };
}

export const trilCases: OpCases = casesOf("tril", tril);
export const triuCases: OpCases = casesOf("triu", triu);
