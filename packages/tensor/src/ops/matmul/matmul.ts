import { scope } from "../../scope.ts";
import { sizeOf } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";
import { apply, type Op } from "../op.ts";
import { commonType } from "../pointwise/pointwise.ts";
import { reshape } from "../reshape.ts";
import { matmulFast } from "./fast.ts";
import { type MatmulAttrs, planMatmul } from "./plan.ts";
import { matmulReference } from "./reference.ts";
import { matmulKernel, type TileClass } from "./tiles.ts";

export const matmulOp: Op<MatmulAttrs> = {
  name: "matmul",

  infer([a, b], attrs) {
    const { batchShape, m, n } = planMatmul(a, b, attrs);
    return [{ shape: [...batchShape, m, n], dtype: commonType("matmul", ["a", "b"], [a, b]) }];
  },

  cpu([a, b], [y], attrs, { fast }) {
    const multiply = fast ? matmulFast : matmulReference;
    multiply(planMatmul(a, b, attrs), a.data, b.data, y.data);
  },

  wgsl: ([a, b], [y], attrs, gpu) => [matmulKernel(planMatmul(a, b, attrs), a, b, y, gpu)],

  // With y = a·b: da = dy·bᵀ and db = aᵀ·dy; a transposed operand gets the transposed product. Batch axes that were
  // broadcast are summed by the tape.
  gradient({ inputs: [a, b], dy, attrs: { transposeA, transposeB }, needs }) {
    const da = !needs[0]
      ? undefined
      : transposeA
        ? product(b, dy, transposeB, true)
        : product(dy, b, false, !transposeB);
    const db = !needs[1]
      ? undefined
      : transposeB
        ? product(dy, a, true, transposeA)
        : product(a, dy, !transposeA, false);
    return [da, db];
  },

  flops: ([a], [y], { transposeA }) => 2 * sizeOf(y.shape) * (a.shape.at(transposeA ? -2 : -1) ?? 1),
};

/** The same op by one class of kernels where that can take the product, for tests and benchmarks of the classes. */
export const matmulBy = (tile: TileClass): Op<MatmulAttrs> => ({
  ...matmulOp,
  wgsl: ([a, b], [y], attrs, gpu) => [matmulKernel(planMatmul(a, b, attrs), a, b, y, gpu, tile)],
});

function product(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor {
  return apply(matmulOp, [a, b], { transposeA, transposeB })[0];
}

/**
 * Matrix product over the last two axes, `y = a · b`, with leading axes broadcast.
 * Sums in f32, in float64 where the CPU device was opened with reference kernels.
 *
 * @param a - `[..., m, k]`, or `[..., k, m]` with `transposeA`; a vector `[k]` counts as one row
 * @param b - `[..., k, n]`, or `[..., n, k]` with `transposeB` (as Linear keeps its weight); a vector `[k]` as one column
 * @returns `[..., m, n]`
 */
export function matmul(
  a: Tensor,
  b: Tensor,
  { transposeA = false, transposeB = false }: { transposeA?: boolean; transposeB?: boolean } = {},
): Tensor {
  if (a.shape.length === 1) {
    return scope(() => {
      const y = matmul(reshape(a, [1, a.shape[0]]), b, { transposeB });
      if (b.shape.length === 1) return reshape(y, []); // the product of two vectors is a number
      return reshape(y, [...y.shape.slice(0, -2), y.shape[y.shape.length - 1]]);
    });
  }
  if (b.shape.length === 1) {
    return scope(() => {
      const y = matmul(a, reshape(b, [b.shape[0], 1]), { transposeA });
      return reshape(y, y.shape.slice(0, -1));
    });
  }
  if (a.shape.length > 2 && b.shape.length === 2 && !transposeA) {
    // One matrix for every row: a batch is only more rows, and the gradient of b needs no sum over batches.
    const k = a.shape[a.shape.length - 1];
    return scope(() => {
      const y = product(reshape(a, [sizeOf(a.shape.slice(0, -1)), k]), b, false, transposeB);
      return reshape(y, [...a.shape.slice(0, -1), y.shape[1]]);
    });
  }
  return product(a, b, transposeA, transposeB);
}
