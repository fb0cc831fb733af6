import { computeType } from "../dtype.ts";
import { DTypeError, ShapeError, ValueError } from "../errors.ts";
import { type Shape, show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, type CpuArray, type Meta, type Op } from "./op.ts";

// Taking slices by number and adding slices back at those numbers: each is the other's gradient.

interface TakeAttrs {
  /** Whom messages name, and what they call the index. */
  readonly who: string;
  readonly what: string;
  readonly axis: number;
  /** Size of that axis in the tensor from which is taken. */
  readonly n: number;
}

function spans(shape: Shape, axis: number): { outer: number; inner: number } {
  return { outer: sizeOf(shape.slice(0, axis)), inner: sizeOf(shape.slice(axis + 1)) };
}

/** Throws where an index tensor is of a wrong type. */
export function checkIndexType(who: string, what: string, index: Meta): void {
  if (index.dtype !== "i32" && index.dtype !== "u32")
    throw new DTypeError(who, `${what} must be i32 or u32, got ${index.dtype}. Use cast first.`);
}

/** Throws for the first index that is not in [0, n). For CPU kernels; on a GPU values cannot be looked at. */
export function checkIndexValues(who: string, what: string, index: CpuArray, n: number): void {
  const size = sizeOf(index.shape);
  for (let i = 0; i < size; i++) {
    const at = index.data[i];
    if (at < 0 || at >= n) throw new ValueError(who, `${what} must be in [0, ${n}), got ${at}.`);
  }
}

const takeOp: Op<TakeAttrs> = {
  name: "take",
  infer([x, index], { who, what, axis, n }) {
    checkIndexType(who, what, index);
    const count = sizeOf(index.shape);
    if (n === 0 && count > 0)
      throw new ShapeError(who, `there must be something to take from, got ${show(x.shape)}.`);
    return [
      { shape: [...x.shape.slice(0, axis), count, ...x.shape.slice(axis + 1)], dtype: computeType(x.dtype) },
    ];
  },
  cpu([x, index], [out], { who, what, axis, n }) {
    checkIndexValues(who, what, index, n);
    const { outer, inner } = spans(x.shape, axis);
    const count = sizeOf(index.shape);
    for (let o = 0; o < outer; o++) {
      for (let k = 0; k < count; k++) {
        const start = (o * n + index.data[k]) * inner;
        out.data.set(x.data.subarray(start, start + inner), (o * count + k) * inner);
      }
    }
  },
  wgsl: ([x, index], [out], { axis, n }) => [
    {
      key: "take",
      over: "element",
      count: sizeOf(out.shape),
      bindings: [
        { name: "x", view: x, access: "read" },
        { name: "index", view: index, access: "read" },
        { name: "y", view: out, access: "write" },
      ],
      params: [
        ["n", "u32", n],
        ["taken", "u32", sizeOf(index.shape)],
        ["inner", "u32", spans(x.shape, axis).inner],
      ],
      main: () => `let c = i % P.inner; let k = (i / P.inner) % P.taken; let o = i / P.inner / P.taken;
  let at = min(u32(max(index_at(k), ${index.dtype}(0))), P.n - 1u);
  y_put(i, x_at((o * P.n + at) * P.inner + c));`,
    },
  ],
  gradient: ({ inputs: [, index], dy, attrs }) => [apply(addBackOp, [dy, index], attrs)[0], undefined],
  saves: () => ({ inputs: [1] }),
  flops: () => 0,
};

/** Places in the index that a workgroup remembers. */
const PLACES = 64;

const addBackOp: Op<TakeAttrs> = {
  name: "addBack",
  infer([dy], { axis, n }) {
    return [{ shape: dy.shape.map((dim, i) => (i === axis ? n : dim)), dtype: computeType(dy.dtype) }];
  },
  cpu([dy, index], [out], { axis, n }) {
    const { outer, inner } = spans(dy.shape, axis);
    const count = sizeOf(index.shape);
    // Several rows may add to one: sums in float64, in the order of the index.
    const sums = new Float64Array(inner);
    const order = Array.from({ length: count }, (_, k) => k).sort(
      (a, b) => index.data[a] - index.data[b] || a - b,
    );
    out.data.fill(0);
    for (let o = 0; o < outer; o++) {
      for (let k = 0; k < count; ) {
        const at = index.data[order[k]];
        sums.fill(0);
        for (; k < count && index.data[order[k]] === at; k++) {
          const start = (o * count + order[k]) * inner;
          for (let i = 0; i < inner; i++) sums[i] += dy.data[start + i];
        }
        out.data.set(sums, (o * n + at) * inner);
      }
    }
  },
  // One workgroup for each row of the result. Its lanes look through the index for the row (most rows of a vocabulary are not
  // named); what they find, in any order, one lane sorts. Then each lane owns columns and adds the named rows in their order.
  // A row that is named more often than the list is long is searched again for each column.
  wgsl: ([dy, index], [out], { axis, n }) => {
    const { outer, inner } = spans(dy.shape, axis);
    const wide = dy.dtype === "f32" && inner % 4 === 0 && dy.offset % 4 === 0;
    const as = wide ? "vec4" : undefined;
    const zero = wide ? "vec4f()" : out.dtype === "f32" ? "0.0f" : `${out.dtype}(0)`;
    const [at, put] = wide ? ["dy_at4", "y_put4"] : ["dy_at", "y_put"];
    return [
      {
        key: wide ? "addBack4" : "addBack",
        over: "group",
        count: outer * n,
        bindings: [
          { name: "dy", view: dy, access: "read", as },
          { name: "index", view: index, access: "read" },
          { name: "y", view: out, access: "write", as },
        ],
        params: [
          ["n", "u32", n],
          ["taken", "u32", sizeOf(index.shape)],
          ["inner", "u32", wide ? inner / 4 : inner],
        ],
        declare: () => `var<workgroup> found: atomic<u32>;
var<workgroup> places: array<u32, ${PLACES}>;
fn row_of(k: u32) -> u32 { return min(u32(max(index_at(k), ${index.dtype}(0))), P.n - 1u); }`,
        main: () =>
          `let row = group % P.n; let o = group / P.n;
  for (var k = lane; k < P.taken; k += lanes) {
    if (row_of(k) == row) {
      let slot = atomicAdd(&found, 1u);
      if (slot < ${PLACES}u) { places[slot] = k; }
    }
  }
  workgroupBarrier();
  let count = atomicLoad(&found);
  if (lane == 0u && count <= ${PLACES}u) {
    for (var i = 1u; i < count; i++) {
      let place = places[i];
      var j = i;
      while (j > 0u && places[j - 1u] > place) { places[j] = places[j - 1u]; j--; }
      places[j] = place;
    }
  }
  workgroupBarrier();
  for (var c = lane; c < P.inner; c += lanes) {
    var total = ${zero};
    if (count <= ${PLACES}u) {
      for (var i = 0u; i < count; i++) { total += ${at}((o * P.taken + places[i]) * P.inner + c); }
    } else {
      for (var k = 0u; k < P.taken; k++) { if (row_of(k) == row) { total += ${at}((o * P.taken + k) * P.inner + c); } }
    }
    ${put}(group * P.inner + c, total);
  }`,
      },
    ];
  },
  gradient: ({ inputs: [, index], dy, attrs }) => [apply(takeOp, [dy, index], attrs)[0], undefined],
  saves: () => ({ inputs: [1] }),
  flops: ([dy]) => sizeOf(dy.shape),
};

/** Slices of `x` along `axis` by number: the index's values, flattened, stand in the place of that axis. */
export function take(x: Tensor, index: Tensor, attrs: Omit<TakeAttrs, "n">): Tensor {
  return apply(takeOp, [x, index], { ...attrs, n: x.shape[attrs.axis] })[0];
}
