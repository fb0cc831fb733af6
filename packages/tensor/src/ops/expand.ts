import { ShapeError } from "../errors.ts";
import { broadcastShapes, broadcastStrides, type Shape, sameShape, show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, type Op, unchanged } from "./op.ts";
import { copyKernel, copyOnCpu } from "./stridedCopy.ts";

const expandOp: Op<{ shape: Shape }> = {
  name: "expand",
  raw: true,
  infer([x], { shape }) {
    if (!shape.every((dim) => Number.isInteger(dim) && dim >= 0))
      throw new ShapeError("expand", `sizes must be whole numbers, got ${show(shape)}.`);
    const joint = broadcastShapes([x.shape, shape]);
    if (joint === undefined || !sameShape(joint, shape))
      throw new ShapeError("expand", `x ${show(x.shape)} must broadcast to ${show(shape)}.`);
    return [{ shape, dtype: x.dtype }];
  },
  cpu([x], [out], { shape }) {
    copyOnCpu(x, out, { shape, offset: 0, strides: broadcastStrides(x.shape, shape) });
  },
  wgsl: ([x], [out], { shape }) => [
    copyKernel(x, out, { shape, offset: 0, strides: broadcastStrides(x.shape, shape) }),
  ],
  // The tape sums dy back to the shape of x, as for every broadcast.
  gradient: ({ dy }) => [dy],
  saves: () => ({}),
  flops: () => 0,
};

/** `x` repeated along axes of size 1 (and new leading axes) until it has `shape`. Copies, unless it has it already; ops that broadcast need it not. */
export function expand(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return unchanged("expand", x);
  return apply(expandOp, [x], { shape })[0];
}
