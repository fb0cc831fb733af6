import { isGradEnabled } from "../autograd/gradMode.ts";
import { ShapeError } from "../errors.ts";
import { sameShape, show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { mul } from "./mul.ts";
import { checkAffine, type NormAttrs, type NormOps } from "./normalize.ts";
import { forwardKernel } from "./normalize.wgsl.ts";
import { apply, type Op } from "./op.ts";
import { commonType } from "./pointwise/pointwise.ts";
import { checkRows } from "./rows.ts";

const names = ["x", "residual", "weight", "bias"];

/**
 * A norm of a sum, and the sum: inputs [x, residual, weight?, bias?], outputs [sum, normed]. The gradient that reaches the
 * sum on its own is added in the kernel of the norm's.
 */
export function addNormalization(
  name: string,
  { op: normOp, gradientOp, affineOp, centered }: NormOps,
): Op<NormAttrs> {
  return {
    name,

    infer(inputs) {
      const [x, residual, ...affine] = inputs;
      checkRows(name, "x", x);
      if (!sameShape(x.shape, residual.shape))
        throw new ShapeError(
          name,
          `residual must be ${show(x.shape)}, the shape of x, got ${show(residual.shape)}.`,
        );
      affine.forEach((part, i) => {
        checkAffine(name, names[i + 2], part, x);
      });
      const meta = { shape: x.shape, dtype: commonType(name, names, inputs) };
      return [meta, meta];
    },

    cpu([x, residual, ...affine], [sum, normed], attrs, context) {
      const size = sizeOf(sum.shape);
      for (let i = 0; i < size; i++) sum.data[i] = x.data[i] + residual.data[i];
      normOp.cpu?.([sum, ...affine], [normed], attrs, context);
    },

    wgsl: ([x, residual, weight, bias], [sum, y], { eps }, gpu) => [
      forwardKernel({ x, residual, weight, bias, sum, y, centered, eps }, gpu),
    ],

    gradient({ inputs: [, , weight], outputs: [sum], dys: [dsum, dy], attrs, needs }) {
      const byX = needs[0] || needs[1];
      if (dy === undefined) return [dsum, dsum];
      const gain = weight === undefined ? [] : [weight];
      const beside = dsum === undefined ? [] : [dsum];
      const through = (): Tensor =>
        apply(gradientOp, [sum, dy, ...gain, ...beside], { ...attrs, residual: dsum !== undefined })[0];
      const dx = byX ? through() : undefined;
      if (needs[2] && !isGradEnabled())
        return [dx, dx, ...apply(affineOp, [sum, dy], { ...attrs, bias: needs[3] === true })];
      const byWeight = (): Tensor => mul(dy, apply(normOp, [sum], attrs)[0]);
      return [dx, dx, needs[2] ? byWeight() : undefined, needs[3] ? dy : undefined];
    },
    saves: (inputs) => ({ inputs: inputs.length > 2 ? [2] : [], outputs: [0] }),
    flops: ([x]) => 6 * sizeOf(x.shape),
  };
}
