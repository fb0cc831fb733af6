import { DTypeError, ShapeError } from "../errors.ts";
import { show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, type Op } from "./op.ts";
import { type ReduceOptions, reduceOver } from "./overAxes.ts";
import type { Span } from "./reduce.ts";

const LANES = 64;

// argmax and argmin: the same but for one comparison.

const argOp = (name: "argmax" | "argmin"): Op<Span> => {
  const sign = name === "argmax" ? ">" : "<";
  return {
    name,
    infer([x], { outer, n, inner }) {
      if (x.dtype === "bool")
        throw new DTypeError(name, "x must be a number type, got bool. Use cast first.");
      if (n === 0 && outer * inner > 0)
        throw new ShapeError(name, `there must be at least one value, got ${show(x.shape)}.`);
      return [{ shape: [outer, 1, inner], dtype: "i32" }];
    },
    cpu([x], [out], { outer, n, inner }) {
      const { data } = x;
      const side = name === "argmax" ? 1 : -1;
      for (let o = 0; o < outer; o++) {
        for (let i = 0; i < inner; i++) {
          let best = 0;
          for (let k = 1; k < n; k++) {
            if (side * data[(o * n + k) * inner + i] > side * data[(o * n + best) * inner + i]) best = k;
          }
          out.data[o * inner + i] = best;
        }
      }
    },
    // One workgroup a line: each lane finds its best in strides, then they fold in a tree; the smaller index wins a tie.
    wgsl: ([x], [out], { outer, n, inner }) => [
      {
        key: name,
        over: "group",
        count: outer * inner,
        lanes: LANES,
        bindings: [
          { name: "x", view: x, access: "read" },
          { name: "y", view: out, access: "write" },
        ],
        params: [
          ["n", "u32", n],
          ["inner", "u32", inner],
        ],
        declare: () => `var<workgroup> places: array<u32, ${LANES}>;`,
        main: () => `let start = (group / P.inner) * P.n * P.inner + group % P.inner;
  var best = min(lane, P.n - 1u);
  for (var k = lane + lanes; k < P.n; k += lanes) {
    if (x_at(start + k * P.inner) ${sign} x_at(start + best * P.inner)) { best = k; }
  }
  places[lane] = best;
  workgroupBarrier();
  for (var half = lanes / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      let a = places[lane]; let b = places[lane + half];
      let va = x_at(start + a * P.inner); let vb = x_at(start + b * P.inner);
      places[lane] = select(a, b, vb ${sign} va || (vb == va && b < a));
    }
    workgroupBarrier();
  }
  if (lane == 0u) { y_put(group, i32(places[0])); }`,
      },
    ],
    gradient: "none: an index does not change smoothly",
    flops: ([x]) => sizeOf(x.shape),
  };
};

const argmaxOp = argOp("argmax");
const argminOp = argOp("argmin");

/** The place of the largest value along `axis`, the first of several, as i32. Without an axis: its place in the flattened `x`. */
export function argmax(x: Tensor, axis?: number, options: ReduceOptions = {}): Tensor {
  return reduceOver(
    "argmax",
    x,
    axis,
    options,
    (joined, span) => apply(argmaxOp, [joined.detach()], span)[0],
  );
}

/** The place of the smallest value along `axis`, the first of several, as i32. Without an axis: its place in the flattened `x`. */
export function argmin(x: Tensor, axis?: number, options: ReduceOptions = {}): Tensor {
  return reduceOver(
    "argmin",
    x,
    axis,
    options,
    (joined, span) => apply(argminOp, [joined.detach()], span)[0],
  );
}
