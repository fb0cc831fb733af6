import { sizeOf, type Tensor } from "@graft/tensor";
import { apply, changesNothing, everyStep, type Op } from "@graft/tensor/op";

interface RowsAttrs {
  /** The first row; may change from step to step. */
  readonly start: number;
  readonly count: number;
}

const rowsOp: Op<RowsAttrs> = {
  name: "rowsFrom",
  infer: ([table], { count }) => [
    { shape: [count, table.shape[1]], dtype: table.dtype === "f64" ? "f64" : "f32" },
  ],
  cpu([table], [y], { start, count }) {
    const [, width] = table.shape;
    y.data.set(table.data.subarray(start * width, (start + count) * width));
  },
  wgsl: ([table], [y], attrs) => [
    {
      key: "rows",
      over: "element",
      count: sizeOf(y.shape),
      bindings: [
        { name: "x", view: table, access: "read" },
        { name: "y", view: y, access: "write" },
      ],
      params: [
        ["width", "u32", table.shape[1]],
        ["start", "u32", () => attrs.start],
      ],
      main: () => "y_put(i, x_at(P.start * P.width + i));",
    },
  ],
  gradient: "none: it is for generation, where the first row changes from step to step",
  saves: () => ({}),
  flops: () => 0,
};

/**
 * Rows `start` … `start + count − 1` of a table `[rows, width]` of any float type, as f32 (f64 for f64). `start` is asked again
 * in each step of a compiled one, so that one program serves every length of a text.
 */
export function rowsFrom(table: Tensor, start: () => number, count: number): Tensor {
  const attrs = everyStep(() => ({ start: start(), count }), changesNothing);
  return apply(rowsOp, [table], attrs)[0];
}
