import { computeType, isFloat } from "../dtype.ts";
import { DTypeError } from "../errors.ts";
import { scope } from "../scope.ts";
import { type Shape, sameShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { expand } from "./expand.ts";
import { apply, type CpuArray, type Op } from "./op.ts";
import { permute } from "./permute.ts";
import { reducedAxes, reducedShape, reduceKernel, type Span, spanOf } from "./reduce.ts";
import { inShape } from "./reshape.ts";

const sumOp: Op<{ axes: readonly number[]; span: Span }> = {
  name: "sum",
  infer([x], { axes }) {
    if (!isFloat(x.dtype) && x.dtype !== "i32" && x.dtype !== "u32")
      throw new DTypeError("sum", `x must be a number type, got ${x.dtype}. Use cast first.`);
    return [{ shape: reducedShape(x.shape, axes, true), dtype: computeType(x.dtype) }];
  },
  cpu([x], [out], { span }) {
    sumOnCpu(x, out, span);
  },
  wgsl([x], [out], { span }) {
    const type = out.dtype === "i32" || out.dtype === "u32" ? out.dtype : "f32";
    return [
      reduceKernel(x, out, span, { key: "sum", type, start: `${type}(0)`, fold: (a, b) => `${a} + ${b}` }),
    ];
  },
  gradient: ({ inputs: [x], dy }) => [expand(dy, x.shape)],
  saves: () => ({}),
  flops: ([x]) => sizeOf(x.shape),
};

function sumOnCpu(x: CpuArray, out: CpuArray, { outer, n, inner }: Span): void {
  const { data } = x;
  if (inner === 1) {
    for (let o = 0; o < outer; o++) {
      let total = 0;
      for (let k = o * n; k < (o + 1) * n; k++) total += data[k];
      out.data[o] = total;
    }
    return;
  }
  const totals = new Float64Array(inner);
  for (let o = 0; o < outer; o++) {
    totals.fill(0);
    for (let k = 0; k < n; k++) {
      const start = (o * n + k) * inner;
      for (let i = 0; i < inner; i++) totals[i] += data[start + i];
    }
    for (let i = 0; i < inner; i++) out.data[o * inner + i] = totals[i];
  }
}

/**
 * Sum over `axes` (all where undefined), in float64 on the CPU device and in a fixed order everywhere.
 * @param options.keepDim - keep reduced axes with size 1
 */
export function sum(
  x: Tensor,
  axes?: number | readonly number[],
  { keepDim = false }: { keepDim?: boolean } = {},
): Tensor {
  const reduced = reducedAxes("sum", x.shape, axes);
  const shape = reducedShape(x.shape, reduced, keepDim);
  const span = spanOf(x.shape, reduced);
  if (span !== undefined) return scope(() => inShape(apply(sumOp, [x], { axes: reduced, span })[0], shape));
  // Axes apart: bring them to the end, so that they lie side by side.
  const kept = x.shape.map((_, i) => i).filter((i) => !reduced.includes(i));
  const last = reduced.map((_, i) => kept.length + i);
  return scope(() => inShape(sum(permute(x, [...kept, ...reduced]), last), shape));
}

/** Sums a tensor of a broadcast shape back to the shape that was broadcast. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const lead = x.shape.length - shape.length;
  const axes = x.shape
    .map((_, i) => i)
    .filter((i) => i < lead || (shape[i - lead] === 1 && x.shape[i] !== 1));
  return scope(() => inShape(sum(x, axes), shape));
}
