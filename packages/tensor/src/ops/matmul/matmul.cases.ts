import fc from "fast-check";
import { fromArray, zeros } from "../../create.ts";
import type { DType } from "../../dtype.ts";
import type { Shape } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";
import { broadcastable, seeds, sides } from "../../testing/arbitraries.ts";
import type { OpCases, Sample } from "../../testing/cases.ts";
import { absolute } from "../../testing/magnitude.ts";
import { inputOf, type ValueKind } from "../../testing/values.ts";
import { matmul } from "./matmul.ts";

interface Options {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

const sample = (
  a: Shape,
  b: Shape,
  options: Options = {},
  seed = 1,
  kind: ValueKind = "normal",
  dtype?: DType,
): Sample => ({
  inputs: [inputOf(a, seed, { kind, dtype }), inputOf(b, seed, { kind, lane: 1, dtype })],
  call: (x, y) => matmul(x, y, options),
  magnitude: (x: Tensor, y: Tensor) => matmul(absolute(x), absolute(y), options),
  why: `[${a}]${options.transposeA ? "ᵀ" : ""} · [${b}]${options.transposeB ? "ᵀ" : ""} ${kind}${dtype ?? ""}, seed ${seed}`,
});

const matrix = (rows: number, columns: number, transposed: boolean): number[] =>
  transposed ? [columns, rows] : [rows, columns];

export const matmulCases: OpCases = {
  name: "matmul",
  torch: "torch.matmul",
  samples: fc
    .record({
      batches: broadcastable(2, { maxRank: 2, maxSide: 3 }),
      m: sides(12),
      n: sides(20),
      k: sides(12),
      transposeA: fc.boolean(),
      transposeB: fc.boolean(),
      seed: seeds(),
      kind: fc.constantFrom<ValueKind>("normal", "halves", "wide"),
    })
    .map(({ batches: [batchA, batchB], m, n, k, transposeA, transposeB, seed, kind }) =>
      sample(
        [...batchA, ...matrix(m, k, transposeA)],
        [...batchB, ...matrix(k, n, transposeB)],
        { transposeA, transposeB },
        seed,
        kind,
      ),
    ),
  edges: [
    sample([1, 1], [1, 1]),
    sample([5], [5]),
    sample([5], [5, 3]),
    sample([5], [2, 5, 3]),
    sample([4, 5], [5]),
    sample([2, 4, 5], [5]),
    sample([5, 4], [5], { transposeA: true }),
    sample([5], [3, 5], { transposeB: true }),
    sample([0, 3], [3, 2]),
    sample([2, 3], [3, 0]),
    sample([2, 0], [0, 3]),
    sample([0, 2, 3], [3, 2]),
    sample([2, 1, 2, 3], [3, 3, 2]),
    sample([67, 9], [9, 33]),
    sample([67, 9], [33, 9], { transposeB: true }),
    sample([9, 67], [9, 33], { transposeA: true }),
    sample([9, 17], [33, 9], { transposeA: true, transposeB: true }),
    sample([2, 9, 3], [3, 5], {}, 1, "wide"),
    sample([3, 130], [130, 3], {}, 1, "wide"),
    sample([3, 5], [5, 7], {}, 1, "normal", "f16"),
    sample([3, 5], [7, 5], { transposeB: true }, 1, "normal", "bf16"),
  ],
  errors: [
    {
      call: (device) => matmul(zeros(device, [8, 64]), zeros(device, [32, 64])),
      message:
        "matmul: inner sizes must agree, got a [8, 64] and b [32, 64] (64 and 32). Did you mean transposeB?",
    },
    {
      call: (device) => matmul(zeros(device, [8, 64]), zeros(device, [64, 32]), { transposeB: true }),
      message:
        "matmul: inner sizes must agree, got a [8, 64] and b [64, 32] transposed (64 and 32). Did you mean b without transposeB?",
    },
    {
      call: (device) => matmul(zeros(device, [2, 3]), zeros(device, [4, 5])),
      message: "matmul: inner sizes must agree, got a [2, 3] and b [4, 5] (3 and 4).",
    },
    {
      call: (device) => matmul(zeros(device, []), zeros(device, [2, 2])),
      message: "matmul: a and b must have at least two axes, got [] and [2, 2].",
    },
    {
      call: (device) => matmul(zeros(device, [2, 1, 1]), zeros(device, [3, 1, 1])),
      message: "matmul: batch axes must broadcast, got a [2, 1, 1] and b [3, 1, 1].",
    },
    {
      call: (device) => matmul(zeros(device, [1, 1]), fromArray(device, [1], [1, 1], { dtype: "i32" })),
      message: "matmul: dtypes must agree, got a f32 and b i32. Use cast on one of them.",
    },
  ],
  ulps: 132,
  ulpsWhy: "one rounding for each term of the longest sum of these samples, 130, and the store",
};
