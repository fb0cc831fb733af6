import { ShapeError } from "../errors.ts";
import { show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { denseKernel, moved, movedType } from "./dense.ts";
import { apply, type Op } from "./op.ts";

interface TriangleAttrs {
  readonly lower: boolean;
  readonly diagonal: number;
}

const triangleOp: Op<TriangleAttrs> = {
  name: "triangle",
  raw: true,
  infer([x], { lower, diagonal }) {
    const who = lower ? "tril" : "triu";
    if (x.shape.length < 2) throw new ShapeError(who, `x must have at least 2 axes, got ${show(x.shape)}.`);
    if (!Number.isInteger(diagonal))
      throw new ShapeError(who, `diagonal must be a whole number, got ${diagonal}.`);
    return [{ shape: x.shape, dtype: x.dtype }];
  },
  cpu([x], [out], { lower, diagonal }) {
    const [rows, columns] = x.shape.slice(-2);
    const size = sizeOf(x.shape);
    for (let k = 0; k < size; k++) {
      const column = k % columns;
      const row = Math.floor(k / columns) % rows;
      const stays = lower ? column - row <= diagonal : column - row >= diagonal;
      out.data[k] = stays ? x.data[k] : 0;
    }
  },
  wgsl([x], [out], { lower, diagonal }) {
    const [rows, columns] = x.shape.slice(-2);
    const type = movedType(x.dtype);
    return [
      denseKernel(out, {
        key: lower ? "tril" : "triu",
        inputs: [{ name: "x", view: x }],
        params: [
          ["rows", "u32", rows],
          ["columns", "u32", columns],
          ["diagonal", "i32", diagonal],
        ],
        declare: () => `fn value(k: u32) -> ${type} {
  let over = i32(k % P.columns) - i32((k / P.columns) % P.rows);
  if (over ${lower ? ">" : "<"} P.diagonal) { return ${type}(0); }
  return ${moved("x", x.dtype, "k")};
}`,
      }),
    ];
  },
  gradient: ({ dy, attrs }) => [apply(triangleOp, [dy], attrs)[0]],
  saves: () => ({}),
  flops: () => 0,
};

/** The lower triangle of each matrix of `x` [..., rows, columns], 0 above the given diagonal (positive lies further right). */
export function tril(x: Tensor, diagonal = 0): Tensor {
  return apply(triangleOp, [x], { lower: true, diagonal })[0];
}

/** The upper triangle of each matrix of `x` [..., rows, columns], 0 below the given diagonal (positive lies further right). */
export function triu(x: Tensor, diagonal = 0): Tensor {
  return apply(triangleOp, [x], { lower: false, diagonal })[0];
}
