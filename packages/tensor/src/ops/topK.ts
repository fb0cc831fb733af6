import { computeType } from "../dtype.ts";
import { DTypeError, ShapeError } from "../errors.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { axisOf, withDim } from "./axis.ts";
import { onesLike } from "./fill.ts";
import { scatterAdd } from "./gather.ts";
import { apply, type Op } from "./op.ts";

export interface TopK {
  /** The values, the first one first. */
  readonly values: Tensor;
  /** Their places along the axis, i32. */
  readonly indices: Tensor;
}

interface TopKAttrs {
  readonly k: number;
  readonly axis: number;
  readonly largest: boolean;
}

const LANES = 64;

const topKOp: Op<TopKAttrs> = {
  name: "topK",
  infer([x], { k, axis }) {
    if (x.dtype === "bool")
      throw new DTypeError("topK", "x must be a number type, got bool. Use cast first.");
    const n = x.shape[axis];
    if (!(Number.isInteger(k) && k >= 0 && k <= n))
      throw new ShapeError("topK", `k must be a whole number in [0, ${n}], got ${k}.`);
    const shape = withDim(x.shape, axis, k);
    return [
      { shape, dtype: computeType(x.dtype) },
      { shape, dtype: "i32" },
    ];
  },
  cpu([x], [values, indices], { k, axis, largest }) {
    const n = x.shape[axis];
    const inner = sizeOf(x.shape.slice(axis + 1));
    const lines = n === 0 ? 0 : sizeOf(x.shape) / n;
    const sign = largest ? 1 : -1;
    for (let line = 0; line < lines; line++) {
      const outer = Math.floor(line / inner);
      const start = outer * n * inner + (line % inner);
      const order = Array.from({ length: n }, (_, j) => j).sort(
        (a, b) => sign * (x.data[start + b * inner] - x.data[start + a * inner]) || a - b,
      );
      for (let j = 0; j < k; j++) {
        const at = (outer * k + j) * inner + (line % inner);
        values.data[at] = x.data[start + order[j] * inner];
        indices.data[at] = order[j];
      }
    }
  },
  // One workgroup a line. Each round finds the first value after the one before, in the order of value and then of place:
  // lanes look in strides and fold in a tree, so nothing needs to be remembered but the last place.
  wgsl([x], [values, indices], { k, axis, largest }) {
    const n = x.shape[axis];
    const first = largest ? ">" : "<";
    return [
      {
        key: largest ? "largest" : "smallest",
        over: "group",
        count: n === 0 || k === 0 ? 0 : sizeOf(x.shape) / n,
        lanes: LANES,
        bindings: [
          { name: "x", view: x, access: "read" },
          { name: "y", view: values, access: "write" },
          { name: "places", view: indices, access: "write" },
        ],
        params: [
          ["n", "u32", n],
          ["k", "u32", k],
          ["inner", "u32", sizeOf(x.shape.slice(axis + 1))],
        ],
        declare: () => `var<workgroup> best: array<u32, ${LANES}>;
var<private> start: u32;
fn before(a: u32, b: u32) -> bool {
  if (b >= P.n) { return a < P.n; }
  if (a >= P.n) { return false; }
  let va = x_at(start + a * P.inner); let vb = x_at(start + b * P.inner);
  return va ${first} vb || (va == vb && a < b);
}`,
        main: () => `start = (group / P.inner) * P.n * P.inner + group % P.inner;
  var last = P.n;
  for (var round = 0u; round < P.k; round++) {
    var mine = P.n;
    for (var j = lane; j < P.n; j += lanes) {
      if ((round == 0u || before(last, j)) && before(j, mine)) { mine = j; }
    }
    best[lane] = mine;
    workgroupBarrier();
    for (var half = lanes / 2u; half > 0u; half /= 2u) {
      if (lane < half && before(best[lane + half], best[lane])) { best[lane] = best[lane + half]; }
      workgroupBarrier();
    }
    last = best[0];
    workgroupBarrier();
    if (lane == 0u) {
      let at = ((group / P.inner) * P.k + round) * P.inner + group % P.inner;
      y_put(at, x_at(start + last * P.inner));
      places_put(at, i32(last));
    }
  }`,
      },
    ];
  },
  gradient: ({ inputs: [x], outputs: [, indices], dys: [dy], attrs: { axis } }) => [
    dy === undefined ? undefined : scatterAdd(onesLike(x, 0), axis, indices, dy),
  ],
  saves: () => ({ inputs: [0], outputs: [1] }),
  flops: ([x], _, { k }) => sizeOf(x.shape) * k,
};

/**
 * The `k` largest (or smallest) values along `axis` in order, with their places; of equal values the one with the lower
 * index comes first. Meant for small k: the GPU looks through the axis once for each.
 * @returns values (f16 and bf16 as f32) and indices, each with the shape of `x` and `k` at `axis`
 */
export function topK(x: Tensor, k: number, axis = -1, { largest = true }: { largest?: boolean } = {}): TopK {
  const [values, indices] = apply(topKOp, [x], { k, axis: axisOf("topK", x.shape, axis), largest });
  return { values, indices };
}
