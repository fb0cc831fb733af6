import { computeType } from "../dtype.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { mul } from "./mul.ts";
import { neg } from "./neg.ts";
import { apply, type Op } from "./op.ts";
import { alongAxis, checkRows, foldFunctions, lanesFor, rowsOf } from "./rows.ts";
import { softmax } from "./softmax.ts";
import { sub } from "./sub.ts";
import { sum } from "./sum.ts";

const none: Readonly<Record<string, never>> = {};

const logSoftmaxOp: Op<typeof none> = {
  name: "logSoftmax",

  infer([x]) {
    checkRows("logSoftmax", "x", x);
    return [{ shape: x.shape, dtype: computeType(x.dtype) }];
  },

  cpu([x], [y]) {
    const { rows, n } = rowsOf(x);
    const from = x.data;
    const to = y.data;
    for (let row = 0; row < rows; row++) {
      const start = row * n;
      const end = start + n;
      let top = -Infinity;
      for (let k = start; k < end; k++) if (from[k] > top) top = from[k];
      let total = 0;
      for (let k = start; k < end; k++) total += Math.exp(from[k] - top);
      const log = Math.log(total);
      for (let k = start; k < end; k++) to[k] = from[k] - top - log;
    }
  },

  wgsl([x], [y]) {
    const { rows, n } = rowsOf(x);
    return [
      {
        key: "rows",
        over: "group",
        lanes: lanesFor(n),
        count: n === 0 ? 0 : rows,
        bindings: [
          { name: "x", view: x, access: "read" },
          { name: "y", view: y, access: "write" },
        ],
        params: [["n", "u32", n]],
        declare: () => foldFunctions("max", "sum"),
        main: () => `let start = group * P.n;
  var top = -3.4e38f;
  for (var k = lane; k < P.n; k += lanes) { top = max(top, x_at(start + k)); }
  top = fold_max(lane, top);
  var total = 0.0f;
  for (var k = lane; k < P.n; k += lanes) { total += exp(x_at(start + k) - top); }
  let logarithm = log(fold_sum(lane, total));
  for (var k = lane; k < P.n; k += lanes) { y_put(start + k, (x_at(start + k) - top) - logarithm); }`,
      },
    ];
  },

  gradient: ({ outputs: [y], dy, attrs }) => [apply(logSoftmaxGradientOp, [y, dy], attrs)[0]],
  saves: () => ({ outputs: [0] }),
  flops: ([x]) => 5 * sizeOf(x.shape),
};

/** dx = dy − exp(y) · Σ dy, from the result y. */
const logSoftmaxGradientOp: Op<typeof none> = {
  name: "logSoftmaxGradient",
  infer: ([y]) => [y],

  cpu([y, dy], [dx]) {
    const { rows, n } = rowsOf(y);
    const ys = y.data;
    const dys = dy.data;
    const to = dx.data;
    for (let row = 0; row < rows; row++) {
      const start = row * n;
      const end = start + n;
      let total = 0;
      for (let k = start; k < end; k++) total += dys[k];
      for (let k = start; k < end; k++) to[k] = dys[k] - Math.exp(ys[k]) * total;
    }
  },

  wgsl([y, dy], [dx]) {
    const { rows, n } = rowsOf(y);
    return [
      {
        key: "rows",
        over: "group",
        lanes: lanesFor(n),
        count: n === 0 ? 0 : rows,
        bindings: [
          { name: "y", view: y, access: "read" },
          { name: "dy", view: dy, access: "read" },
          { name: "dx", view: dx, access: "write" },
        ],
        params: [["n", "u32", n]],
        declare: () => foldFunctions("sum"),
        main: () => `let start = group * P.n;
  var total = 0.0f;
  for (var k = lane; k < P.n; k += lanes) { total += dy_at(start + k); }
  total = fold_sum(lane, total);
  for (var k = lane; k < P.n; k += lanes) { dx_put(start + k, dy_at(start + k) - exp(y_at(start + k)) * total); }`,
      },
    ];
  },

  // With p = exp(y), which is softmax(y) because the exponentials of a row already add up to 1: for the cotangent c,
  // d(dy) = c − Σ c·p and d(y) = −c · p · Σ dy.
  gradient({ inputs: [y, dy], dy: c, needs }) {
    const weighted = mul(c, softmax(y));
    const rowSum = (a: Tensor): Tensor => sum(a, -1, { keepDim: true });
    return [
      needs[0] ? neg(mul(weighted, rowSum(dy))) : undefined,
      needs[1] ? sub(c, rowSum(weighted)) : undefined,
    ];
  },
  flops: ([y]) => 4 * sizeOf(y.shape),
};

/**
 * Logarithm of softmax along `axis`: `y = x − max x − log Σ exp(x − max x)`. More exact than `log(softmax(x))`, and
 * finite where that is −∞.
 *
 * @param x - float, any shape with at least one axis
 * @param axis - negative counts from the end
 * @returns the shape of `x`, f32 (f64 where `x` is)
 */
export function logSoftmax(x: Tensor, axis = -1): Tensor {
  return alongAxis("logSoftmax", x, axis, (rows) => apply(logSoftmaxOp, [rows], none)[0]);
}
