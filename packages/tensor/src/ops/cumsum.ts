import { computeType } from "../dtype.ts";
import { DTypeError } from "../errors.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { axisOf } from "./axis.ts";
import { apply, type Op } from "./op.ts";

interface CumsumAttrs {
  readonly axis: number;
  /** From the end, which is the gradient of from the start. */
  readonly backwards: boolean;
}

const cumsumOp: Op<CumsumAttrs> = {
  name: "cumsum",
  infer([x]) {
    if (x.dtype === "bool")
      throw new DTypeError("cumsum", "x must be a number type, got bool. Use cast first.");
    return [{ shape: x.shape, dtype: computeType(x.dtype) }];
  },
  cpu([x], [out], { axis, backwards }) {
    const n = x.shape[axis];
    const inner = sizeOf(x.shape.slice(axis + 1));
    const lines = n === 0 ? 0 : sizeOf(x.shape) / n;
    for (let line = 0; line < lines; line++) {
      const start = Math.floor(line / inner) * n * inner + (line % inner);
      let total = 0;
      for (let k = 0; k < n; k++) {
        const at = start + (backwards ? n - 1 - k : k) * inner;
        total += x.data[at];
        out.data[at] = total;
      }
    }
  },
  // One invocation a line, so that the order of the sum is that of the axis.
  wgsl([x], [out], { axis, backwards }) {
    const n = x.shape[axis];
    return [
      {
        key: backwards ? "backwards" : "forwards",
        over: "element",
        count: n === 0 ? 0 : sizeOf(x.shape) / n,
        bindings: [
          { name: "x", view: x, access: "read" },
          { name: "y", view: out, access: "write" },
        ],
        params: [
          ["n", "u32", n],
          ["inner", "u32", sizeOf(x.shape.slice(axis + 1))],
        ],
        main: () => `let start = (i / P.inner) * P.n * P.inner + i % P.inner;
  var at = start${backwards ? " + (P.n - 1u) * P.inner" : ""};
  var total = x_at(at);
  y_put(at, total);
  for (var k = 1u; k < P.n; k++) { at ${backwards ? "-" : "+"}= P.inner; total += x_at(at); y_put(at, total); }`,
      },
    ];
  },
  gradient: ({ dy, attrs: { axis, backwards } }) => [
    apply(cumsumOp, [dy], { axis, backwards: !backwards })[0],
  ],
  saves: () => ({}),
  flops: ([x]) => sizeOf(x.shape),
};

/** Running sums along `axis`: `y[i] = x[0] + … + x[i]`. f16 and bf16 become f32; a GPU sums in f32, the CPU in float64. */
export function cumsum(x: Tensor, axis: number): Tensor {
  return apply(cumsumOp, [x], { axis: axisOf("cumsum", x.shape, axis), backwards: false })[0];
}
