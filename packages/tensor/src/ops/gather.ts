import { computeType } from "../dtype.ts";
import { DTypeError, ShapeError } from "../errors.ts";
import { type Shape, sameShape, show, sizeOf, stridesOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { axisOf } from "./axis.ts";
import { onesLike } from "./fill.ts";
import { apply, type Op } from "./op.ts";
import { checkIndexType, checkIndexValues } from "./take.ts";

// gather and scatterAdd are each other's gradients, so both stand here.

interface Attrs {
  readonly axis: number;
}

function checkShapes(who: string, x: Shape, index: Shape, axis: number): void {
  if (index.length !== x.length || index.some((dim, i) => i !== axis && dim > x[i]))
    throw new ShapeError(
      who,
      `index must have the axes of x and, except along axis ${axis}, no larger sizes, got x ${show(x)} and index ${show(index)}.`,
    );
}

/** Calls `visit(k, start)` for each value k of the index; `start` is where its line begins in a tensor of shape `x`. */
function eachLine(x: Shape, index: Shape, axis: number, visit: (k: number, start: number) => void): void {
  const strides = stridesOf(x);
  const counter = new Array<number>(index.length).fill(0);
  const size = sizeOf(index);
  for (let k = 0; k < size; k++) {
    let start = 0;
    for (let a = 0; a < index.length; a++) if (a !== axis) start += counter[a] * strides[a];
    visit(k, start);
    for (let a = index.length - 1; a >= 0; a--) {
      if (++counter[a] < index[a]) break;
      counter[a] = 0;
    }
  }
}

type Param = readonly [name: string, type: "u32", value: number];

const sizesOf = (name: string, shape: Shape): Param[] => shape.map((dim, a) => [`${name}${a}`, "u32", dim]);

const gatherOp: Op<Attrs> = {
  name: "gather",
  infer([x, index], { axis }) {
    checkIndexType("gather", "index", index);
    checkShapes("gather", x.shape, index.shape, axis);
    return [{ shape: index.shape, dtype: computeType(x.dtype) }];
  },
  cpu([x, index], [out], { axis }) {
    checkIndexValues("gather", "index", index, x.shape[axis]);
    const stride = stridesOf(x.shape)[axis];
    eachLine(x.shape, index.shape, axis, (k, start) => {
      out.data[k] = x.data[start + index.data[k] * stride];
    });
  },
  wgsl([x, index], [out], { axis }) {
    const rank = x.shape.length;
    return [
      {
        key: `gather${rank}_${axis}`,
        over: "element",
        count: sizeOf(out.shape),
        bindings: [
          { name: "x", view: x, access: "read" },
          { name: "index", view: index, access: "read" },
          { name: "y", view: out, access: "write" },
        ],
        params: [...sizesOf("d", index.shape), ...sizesOf("n", x.shape)],
        main: () => `let named = min(u32(max(index_at(i), ${index.dtype}(0))), P.n${axis} - 1u);
  var rest = i; var at = 0u; var stride = 1u;
  ${downwards(rank)
    .map(
      (a) =>
        `at += ${a === axis ? "named" : `(rest % P.d${a})`} * stride; stride *= P.n${a}; rest /= P.d${a};`,
    )
    .join("\n  ")}
  y_put(i, x_at(at));`,
      },
    ];
  },
  gradient: ({ inputs: [x, index], dy, attrs }) => [
    apply(scatterAddOp, [onesLike(x, 0), index, dy], attrs)[0],
    undefined,
  ],
  saves: () => ({ inputs: [0, 1] }),
  flops: () => 0,
};

const scatterAddOp: Op<Attrs> = {
  name: "scatterAdd",
  infer([x, index, src], { axis }) {
    checkIndexType("scatterAdd", "index", index);
    checkShapes("scatterAdd", x.shape, index.shape, axis);
    if (!sameShape(index.shape, src.shape))
      throw new ShapeError(
        "scatterAdd",
        `src must have the shape of index, got src ${show(src.shape)} and index ${show(index.shape)}.`,
      );
    if (computeType(x.dtype) !== computeType(src.dtype))
      throw new DTypeError(
        "scatterAdd",
        `dtypes must agree, got x ${x.dtype} and src ${src.dtype}. Use cast on one of them.`,
      );
    return [{ shape: x.shape, dtype: computeType(x.dtype) }];
  },
  cpu([x, index, src], [out], { axis }) {
    checkIndexValues("scatterAdd", "index", index, x.shape[axis]);
    const stride = stridesOf(x.shape)[axis];
    const sums = Float64Array.from(x.data);
    eachLine(x.shape, index.shape, axis, (k, start) => {
      sums[start + index.data[k] * stride] += src.data[k];
    });
    out.data.set(sums);
  },
  // One invocation owns one value of the result and reads the line of the index that may name it, in order.
  wgsl([x, index, src], [out], { axis }) {
    const rank = x.shape.length;
    return [
      {
        key: `scatterAdd${rank}_${axis}`,
        over: "element",
        count: sizeOf(out.shape),
        bindings: [
          { name: "x", view: x, access: "read" },
          { name: "index", view: index, access: "read" },
          { name: "src", view: src, access: "read" },
          { name: "y", view: out, access: "write" },
        ],
        params: [...sizesOf("d", index.shape), ...sizesOf("n", x.shape)],
        main: () => `var rest = i; var at = 0u; var stride = 1u; var step = 1u; var own = 0u; var within = true;
  ${downwards(rank)
    .map((a) => {
      const body =
        a === axis ? "own = c; step = stride;" : `within = within && c < P.d${a}; at += c * stride;`;
      return `{ let c = rest % P.n${a}; ${body} stride *= P.d${a}; rest /= P.n${a}; }`;
    })
    .join("\n  ")}
  var total = x_at(i);
  if (within) {
    for (var k = 0u; k < P.d${axis}; k++) {
      let named = min(u32(max(index_at(at + k * step), ${index.dtype}(0))), P.n${axis} - 1u);
      if (named == own) { total += src_at(at + k * step); }
    }
  }
  y_put(i, total);`,
      },
    ];
  },
  gradient: ({ inputs: [, index], dy, attrs, needs }) => [
    needs[0] ? dy : undefined,
    undefined,
    needs[2] ? apply(gatherOp, [dy, index], attrs)[0] : undefined,
  ],
  saves: () => ({ inputs: [1] }),
  flops: ([, index]) => sizeOf(index.shape),
};

function downwards(rank: number): number[] {
  return Array.from({ length: rank }, (_, k) => rank - 1 - k);
}

/**
 * `y[i, j, …] = x[i, index[i, j, …], …]`, the index standing at `axis`. The gradient adds up values taken twice.
 * f16 and bf16 become f32.
 * @param index - i32 or u32, with the axes of `x` and, except along `axis`, no larger sizes; values within the axis: checked
 *   on the CPU device only, a GPU takes the nearest
 * @returns the shape of `index`
 */
export function gather(x: Tensor, axis: number, index: Tensor): Tensor {
  return apply(gatherOp, [x, index], { axis: axisOf("gather", x.shape, axis) })[0];
}

/**
 * `x` with each value of `src` added at the place that `index` names along `axis`: `y[i, index[i, j, …], …] += src[i, j, …]`.
 * Sums are formed in the order of the index, so that results repeat. f16 and bf16 become f32.
 * @param index - i32 or u32, as in `gather`
 * @param src - the shape of `index`, the type of `x`
 */
export function scatterAdd(x: Tensor, axis: number, index: Tensor, src: Tensor): Tensor {
  return apply(scatterAddOp, [x, index, src], { axis: axisOf("scatterAdd", x.shape, axis) })[0];
}
