import { computeType, isFloat } from "../dtype.ts";
import { DTypeError } from "../errors.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { mul } from "./mul.ts";
import { apply, type Op } from "./op.ts";
import { reduceKernel } from "./reduce.ts";
import { foldFunctions } from "./rows.ts";

/** Workgroups that share a large tensor, and lanes of each. */
const GROUPS = 256;
const LANES = 256;

const sumOfSquaresOp: Op<Readonly<Record<string, never>>> = {
  name: "sumOfSquares",

  infer([x]) {
    if (!isFloat(x.dtype))
      throw new DTypeError("sumOfSquares", `x must be a float type, got ${x.dtype}. Use cast first.`);
    return [{ shape: [], dtype: computeType(x.dtype) }];
  },

  cpu([x], [y]) {
    const { data } = x;
    let total = 0;
    for (let i = 0; i < data.length; i++) total += data[i] * data[i];
    y.data[0] = total;
  },

  // Up to GROUPS partial sums, each over every GROUPS-th stretch of LANES values, then their sum.
  wgsl([x], [y], _, gpu) {
    const size = sizeOf(x.shape);
    const groups = Math.max(1, Math.min(GROUPS, Math.ceil(size / LANES)));
    const partial = groups === 1 ? y : gpu.scratch("f32", groups);
    const first = {
      key: "partial",
      over: "group",
      lanes: LANES,
      count: groups,
      bindings: [
        { name: "x", view: x, access: "read" },
        { name: "y", view: partial, access: "write" },
      ],
      params: [["size", "u32", size]],
      declare: () => foldFunctions("sum"),
      main: () => `var total = 0.0f;
  for (var k = group * lanes + lane; k < P.size; k += P.count * lanes) { let v = x_at(k); total += v * v; }
  total = fold_sum(lane, total);
  if (lane == 0u) { y_put(group, total); }`,
    } as const;
    if (groups === 1) return [first];
    const span = { outer: 1, n: groups, inner: 1 };
    const fold = (a: string, b: string): string => `${a} + ${b}`;
    return [first, reduceKernel(partial, y, span, { key: "total", type: "f32", start: "0.0f", fold })];
  },

  gradient: ({ inputs: [x], dy }) => [mul(mul(x, 2), dy)],
  flops: ([x]) => 2 * sizeOf(x.shape),
};

/**
 * `Σ x²` over all values, in a fixed order, as a scalar: what the norm of gradients is made of. Sums in f32 on a GPU,
 * in float64 on the CPU device; makes no tensor of squares.
 */
export function sumOfSquares(x: Tensor): Tensor {
  return apply(sumOfSquaresOp, [x], {})[0];
}
