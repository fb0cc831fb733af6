import { exponentials, plainExponentials } from "../device/cpu/wasm/exponentials.ts";
import type { View } from "../device/device.ts";
import { computeType } from "../dtype.ts";
import { broadcastStrides, collapse, type Shape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import type { Kernel } from "./kernel.ts";
import { mul } from "./mul.ts";
import { apply, type Op } from "./op.ts";
import { alongAxis, checkRows, foldFunctions, lanesFor, rowsOf } from "./rows.ts";
import { sub } from "./sub.ts";
import { sum } from "./sum.ts";

interface SoftmaxAttrs {
  /** Multiplies x first. */
  readonly scale: number;
  /** The last two axes are [queries, keys], and query i sees only the keys up to i + keys − queries. */
  readonly causal: boolean;
}

/** x [..., n], and optionally a bool mask that broadcasts to it: false gives exactly 0. */
const softmaxOp: Op<SoftmaxAttrs> = {
  name: "softmax",

  infer([x]) {
    checkRows("softmax", "x", x);
    return [{ shape: x.shape, dtype: computeType(x.dtype) }];
  },

  cpu([x, mask], [y], { scale, causal }, { fast }) {
    const { rows, n } = rowsOf(x);
    const exponentiate = fast && y.dtype === "f32" ? exponentials : plainExponentials;
    const queries = causal ? (x.shape.at(-2) ?? 1) : 1;
    const maskRow = mask === undefined ? undefined : maskRows(mask.shape, x.shape);
    const exps = new Float64Array(n);
    const from = x.data;
    const to = y.data;
    for (let row = 0; row < rows; row++) {
      const start = row * n;
      const limit = causal ? causalLimit(row, queries, n) : n;
      let top = -Infinity;
      let total = 0;
      if (mask === undefined || maskRow === undefined) {
        for (let k = 0; k < limit; k++) {
          const v = from[start + k] * scale;
          exps[k] = v;
          if (v > top) top = v;
        }
        for (let k = 0; k < limit; k++) exps[k] -= top;
        exponentiate(exps, limit);
        for (let k = 0; k < limit; k++) total += exps[k];
      } else {
        const at = maskRow.start(row);
        const step = maskRow.step;
        for (let k = 0; k < limit; k++) {
          const v = from[start + k] * scale;
          if (mask.data[at + k * step] !== 0 && v > top) top = v;
        }
        for (let k = 0; k < limit; k++) {
          const v = mask.data[at + k * step] === 0 ? 0 : Math.exp(from[start + k] * scale - top);
          exps[k] = v;
          total += v;
        }
      }
      const factor = total === 0 ? 0 : 1 / total;
      for (let k = 0; k < limit; k++) to[start + k] = exps[k] * factor;
      to.fill(0, start + limit, start + n);
    }
  },

  wgsl: ([x, mask], [y], attrs) => [softmaxKernel(x, mask, y, attrs)],

  gradient: ({ outputs: [y], dy, attrs }) => [apply(softmaxGradientOp, [y, dy], attrs)[0], undefined],
  saves: () => ({ outputs: [0] }),
  flops: ([x]) => 5 * sizeOf(x.shape),
};

/** dx = scale · y · (dy − Σ dy·y), from the result y. Masked values have y = 0, and so dx = 0. */
const softmaxGradientOp: Op<SoftmaxAttrs> = {
  name: "softmaxGradient",
  infer: ([y]) => [y],

  cpu([y, dy], [dx], { scale, causal }) {
    const { rows, n } = rowsOf(y);
    const queries = causal ? (y.shape.at(-2) ?? 1) : 1;
    const ys = y.data;
    const dys = dy.data;
    const to = dx.data;
    for (let row = 0; row < rows; row++) {
      const start = row * n;
      const end = start + (causal ? causalLimit(row, queries, n) : n);
      let dot = 0;
      for (let k = start; k < end; k++) dot += dys[k] * ys[k];
      for (let k = start; k < end; k++) to[k] = scale * ys[k] * (dys[k] - dot);
      to.fill(0, end, start + n);
    }
  },

  wgsl: ([y, dy], [dx], attrs) => [gradientKernel(y, dy, dx, attrs)],

  // The Jacobian is symmetric, so d(dy) is the same function of the new cotangent c. With s = Σ dy·y:
  // d(y) = scale · (c·(dy − s) − dy·Σ c·y).
  gradient({ inputs: [y, dy], dy: c, attrs, needs }) {
    const rowSum = (a: Tensor, b: Tensor): Tensor => sum(mul(a, b), -1, { keepDim: true });
    return [
      needs[0] ? mul(sub(mul(c, sub(dy, rowSum(dy, y))), mul(dy, rowSum(c, y))), attrs.scale) : undefined,
      needs[1] ? apply(softmaxGradientOp, [y, c], attrs)[0] : undefined,
    ];
  },
  flops: ([y]) => 5 * sizeOf(y.shape),
};

/** How many keys the query of a row sees: the queries are the last positions of the keys. */
function causalLimit(row: number, queries: number, keys: number): number {
  return Math.max(0, Math.min(keys, keys - queries + (row % queries) + 1));
}

const CAUSAL_LIMIT = "u32(clamp(i32(P.n) - i32(P.queries) + i32(group % P.queries) + 1, 0, i32(P.n)))";

/** Where the mask of each row begins, and the step from key to key (0 where it is broadcast along them). */
function maskRows(shape: Shape, to: Shape): { start: (row: number) => number; step: number } {
  const { dims, strides, step } = maskWalk(shape, to);
  return {
    step,
    start(row) {
      let rest = row;
      let at = 0;
      for (let axis = dims.length - 1; axis >= 0; axis--) {
        at += (rest % dims[axis]) * strides[axis];
        rest = Math.floor(rest / dims[axis]);
      }
      return at;
    },
  };
}

function maskWalk(shape: Shape, to: Shape): { dims: number[]; strides: number[]; step: number } {
  const strides = broadcastStrides(shape, to);
  const outer = collapse(to.slice(0, -1), [strides.slice(0, -1)]);
  return { dims: outer.shape, strides: outer.strides[0], step: strides[strides.length - 1] };
}

/** One workgroup a row: its largest value, the sum of exponentials (kept in y), then their share. */
function softmaxKernel(x: View, mask: View | undefined, y: View, { scale, causal }: SoftmaxAttrs): Kernel {
  const { rows, n } = rowsOf(x);
  const walk = mask === undefined ? undefined : maskWalk(mask.shape, x.shape);
  const axes = walk?.dims.map((_, axis) => axis).reverse() ?? [];
  return {
    key: `rows${causal ? "c" : ""}${walk === undefined ? "" : `m${walk.dims.length}`}`,
    over: "group",
    lanes: lanesFor(n),
    count: n === 0 ? 0 : rows,
    bindings: [
      { name: "x", view: x, access: "read" },
      ...(mask === undefined ? [] : [{ name: "mask", view: mask, access: "read" as const }]),
      { name: "y", view: y, access: "write" },
    ],
    params: [
      ["n", "u32", n],
      ["queries", "u32", x.shape.at(-2) ?? 1],
      ["scale", "f32", scale],
      ...(walk === undefined ? [] : [["step", "u32", walk.step] as const]),
      ...(walk?.dims.flatMap((dim, axis) => [
        [`d${axis}`, "u32", dim] as const,
        [`s${axis}`, "u32", walk.strides[axis]] as const,
      ]) ?? []),
    ],
    declare: () => foldFunctions("max", "sum"),
    main: () => {
      const allowed =
        walk === undefined
          ? (body: string) => body
          : (body: string) => `if (mask_at(mask_row + k * P.step)) { ${body} }`;
      return `let start = group * P.n;
  let limit = ${causal ? CAUSAL_LIMIT : "P.n"};
  ${walk === undefined ? "" : "var mask_row = 0u; var rest = group;"}
  ${axes.map((axis) => `mask_row += (rest % P.d${axis}) * P.s${axis}; rest /= P.d${axis};`).join(" ")}
  var top = -3.4e38f;
  for (var k = lane; k < limit; k += lanes) { ${allowed("top = max(top, x_at(start + k) * P.scale);")} }
  top = fold_max(lane, top);
  var total = 0.0f;
  for (var k = lane; k < limit; k += lanes) {
    var v = 0.0f;
    ${allowed("v = exp(x_at(start + k) * P.scale - top);")}
    y_put(start + k, v);
    total += v;
  }
  total = fold_sum(lane, total);
  let divisor = select(total, 1.0f, total == 0.0f);
  for (var k = lane; k < P.n; k += lanes) {
    if (k < limit) { y_put(start + k, y_at(start + k) / divisor); } else { y_put(start + k, 0.0f); }
  }`;
    },
  };
}

function gradientKernel(y: View, dy: View, dx: View, { scale, causal }: SoftmaxAttrs): Kernel {
  const { rows, n } = rowsOf(y);
  return {
    key: `rows${causal ? "c" : ""}`,
    over: "group",
    lanes: lanesFor(n),
    count: n === 0 ? 0 : rows,
    bindings: [
      { name: "y", view: y, access: "read" },
      { name: "dy", view: dy, access: "read" },
      { name: "dx", view: dx, access: "write" },
    ],
    params: [
      ["n", "u32", n],
      ["queries", "u32", y.shape.at(-2) ?? 1],
      ["scale", "f32", scale],
    ],
    declare: () => foldFunctions("sum"),
    main: () => `let start = group * P.n;
  let limit = ${causal ? CAUSAL_LIMIT : "P.n"};
  var dot = 0.0f;
  for (var k = lane; k < limit; k += lanes) { dot += dy_at(start + k) * y_at(start + k); }
  dot = fold_sum(lane, dot);
  for (var k = lane; k < P.n; k += lanes) {
    var v = 0.0f;
    if (k < limit) { v = P.scale * y_at(start + k) * (dy_at(start + k) - dot); }
    dx_put(start + k, v);
  }`,
  };
}

/**
 * Softmax along `axis`: `y = exp(x − max x) / Σ exp(x − max x)`, with the largest value taken off first, so that no
 * exponential overflows. Sums in f32 on a GPU, in float64 on the CPU device.
 *
 * @param x - float, any shape with at least one axis
 * @param axis - negative counts from the end
 * @returns the shape of `x`, f32 (f64 where `x` is)
 */
export function softmax(x: Tensor, axis = -1): Tensor {
  return alongAxis("softmax", x, axis, (rows) => maskedSoftmax(rows, undefined, { scale: 1, causal: false }));
}

/**
 * Softmax of `scale · x` along the last axis over those values that `mask` and `causal` leave; the others, and rows of
 * which nothing is left, become exactly 0. No mask tensor is needed or read for `causal`.
 *
 * @param x - `[..., queries, keys]`
 * @param mask - bool, broadcasts to `x`: true where a value takes part
 * @param options.causal - query i sees the keys up to i + keys − queries, so that the queries are the last positions
 */
export function maskedSoftmax(
  x: Tensor,
  mask: Tensor | undefined,
  { scale = 1, causal = false }: { scale?: number; causal?: boolean } = {},
): Tensor {
  return apply(softmaxOp, mask === undefined ? [x] : [x, mask], { scale, causal })[0];
}
