import { ShapeError } from "../errors.ts";
import { resolveAxis, show, stridesOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, type Op } from "./op.ts";
import { copyKernel, copyOnCpu, type Walk } from "./stridedCopy.ts";

const permuteOp: Op<{ axes: readonly number[] }> = {
  name: "permute",
  raw: true,
  infer([x], { axes }) {
    const order = axes.map((axis) => resolveAxis(axis, x.shape.length));
    if (axes.length !== x.shape.length || new Set(order).size !== axes.length || order.includes(undefined)) {
      throw new ShapeError(
        "permute",
        `axes must name each axis of ${show(x.shape)} once, got ${show(axes)}.`,
      );
    }
    return [{ shape: walkOf(x.shape, axes).shape, dtype: x.dtype }];
  },
  cpu([x], [out], { axes }) {
    copyOnCpu(x, out, walkOf(x.shape, axes));
  },
  wgsl: ([x], [out], { axes }) => [copyKernel(x, out, walkOf(x.shape, axes))],
  gradient({ dy, attrs: { axes } }) {
    const inverse = new Array<number>(axes.length);
    axes.forEach((axis, i) => {
      inverse[axis < 0 ? axis + axes.length : axis] = i;
    });
    return [permute(dy, inverse)];
  },
  saves: () => ({}),
  flops: () => 0,
};

function walkOf(shape: readonly number[], axes: readonly number[]): Walk {
  const strides = stridesOf(shape);
  const order = axes.map((axis) => (axis < 0 ? axis + shape.length : axis));
  return { shape: order.map((axis) => shape[axis]), offset: 0, strides: order.map((axis) => strides[axis]) };
}

/** The axes in another order: axis i of the result is axis `axes[i]` of `x`. Copies. */
export function permute(x: Tensor, axes: readonly number[]): Tensor {
  return apply(permuteOp, [x], { axes })[0];
}

/** Exchanges two axes, by default the last two. Copies. */
export function transpose(x: Tensor, axis0 = -2, axis1 = -1): Tensor {
  const rank = x.shape.length;
  const a = resolveAxis(axis0, rank);
  const b = resolveAxis(axis1, rank);
  if (a === undefined || b === undefined) {
    throw new ShapeError(
      "transpose",
      `axes must be in [${-rank}, ${rank}), got ${axis0} and ${axis1} for ${show(x.shape)}.`,
    );
  }
  const axes = x.shape.map((_, i) => (i === a ? b : i === b ? a : i));
  return permute(x, axes);
}
