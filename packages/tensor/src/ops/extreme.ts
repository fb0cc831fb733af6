import { computeType, type DType } from "../dtype.ts";
import { DTypeError, ShapeError } from "../errors.ts";
import { show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { cast } from "./cast.ts";
import { div } from "./div.ts";
import { eq } from "./eq.ts";
import { mul } from "./mul.ts";
import { apply, type Op } from "./op.ts";
import { type ReduceOptions, reduceOver } from "./overAxes.ts";
import { reduceKernel, type Span } from "./reduce.ts";
import { reshape } from "./reshape.ts";
import { sum } from "./sum.ts";

// max and min over axes: the same but for one comparison.

const extremeOp = (name: "max" | "min"): Op<Span> => ({
  name,
  infer([x], { outer, n, inner }) {
    if (x.dtype === "bool") throw new DTypeError(name, "x must be a number type, got bool. Use any or all.");
    if (n === 0 && outer * inner > 0)
      throw new ShapeError(name, `there must be at least one value, got ${show(x.shape)}.`);
    return [{ shape: [outer, 1, inner], dtype: computeType(x.dtype) }];
  },
  cpu([x], [out], { outer, n, inner }) {
    const { data } = x;
    const sign = name === "max" ? 1 : -1;
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        let best = data[o * n * inner + i];
        for (let k = 1; k < n; k++) {
          const value = data[(o * n + k) * inner + i];
          if (sign * value > sign * best) best = value;
        }
        out.data[o * inner + i] = best;
      }
    }
  },
  wgsl: ([x], [out], span) => [
    reduceKernel(x, out, span, {
      key: name,
      type: kernelType(out.dtype),
      start: "x_at(start)",
      fold: (a, b) => `${name}(${a}, ${b})`,
    }),
  ],
  // dx = dy where x is the extreme, shared equally among equals.
  gradient({ inputs: [x], outputs: [y], dy, attrs: { outer, n, inner } }) {
    const chosen = cast(eq(reshape(x, [outer, n, inner]), y), dy.dtype);
    return [reshape(mul(chosen, div(dy, sum(chosen, 1, { keepDim: true }))), x.shape)];
  },
  saves: () => ({ inputs: [0], outputs: [0] }),
  flops: ([x]) => sizeOf(x.shape),
});

function kernelType(dtype: DType): "f32" | "i32" | "u32" {
  return dtype === "i32" || dtype === "u32" ? dtype : "f32";
}

const maxOp = extremeOp("max");
const minOp = extremeOp("min");

/**
 * The largest value over `axes` (all where undefined). Equal values share the gradient equally, as in PyTorch's amax.
 * f16 and bf16 become f32.
 */
export function max(x: Tensor, axes?: number | readonly number[], options: ReduceOptions = {}): Tensor {
  return reduceOver("max", x, axes, options, (joined, span) => apply(maxOp, [joined], span)[0]);
}

/**
 * The smallest value over `axes` (all where undefined). Equal values share the gradient equally, as in PyTorch's amin.
 * f16 and bf16 become f32.
 */
export function min(x: Tensor, axes?: number | readonly number[], options: ReduceOptions = {}): Tensor {
  return reduceOver("min", x, axes, options, (joined, span) => apply(minOp, [joined], span)[0]);
}
