import { isGradEnabled } from "../autograd/gradMode.ts";
import { ShapeError } from "../errors.ts";
import { sameShape, show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { mul } from "./mul.ts";
import { checkAffine, type NormAttrs } from "./normalize.ts";
import { forwardKernel } from "./normalize.wgsl.ts";
import { apply, type Op } from "./op.ts";
import { commonType } from "./pointwise/pointwise.ts";
import { rmsNormOps } from "./rmsNorm.ts";
import { checkRows } from "./rows.ts";

const names = ["x", "residual", "weight"];

/** Inputs [x, residual, weight?]; outputs [sum, normed]. */
export const addRmsNormOp: Op<NormAttrs> = {
  name: "addRmsNorm",

  infer(inputs) {
    const [x, residual, weight] = inputs;
    checkRows("addRmsNorm", "x", x);
    if (!sameShape(x.shape, residual.shape))
      throw new ShapeError(
        "addRmsNorm",
        `residual must be ${show(x.shape)}, the shape of x, got ${show(residual.shape)}.`,
      );
    if (weight !== undefined) checkAffine("addRmsNorm", "weight", weight, x);
    const meta = { shape: x.shape, dtype: commonType("addRmsNorm", names, inputs) };
    return [meta, meta];
  },

  cpu([x, residual, weight], [total, normed], attrs, context) {
    for (let i = 0; i < total.data.length; i++) total.data[i] = x.data[i] + residual.data[i];
    rmsNormOps.op.cpu?.(weight === undefined ? [total] : [total, weight], [normed], attrs, context);
  },

  wgsl: ([x, residual, weight], [sum, y], { eps }, gpu) => [
    forwardKernel({ x, residual, weight, sum, y, centered: false, eps }, gpu),
  ],

  // The sum's gradient goes to both terms: what comes from the norm and what comes to the sum itself, added in the norm's kernel.
  gradient({ inputs: [, , weight], outputs: [sum], dys: [dsum, dnormed], attrs, needs }) {
    const gain = weight === undefined ? [] : [weight];
    const through = (dy: Tensor): Tensor =>
      apply(rmsNormOps.gradientOp, [sum, dy, ...gain, ...(dsum === undefined ? [] : [dsum])], {
        ...attrs,
        residual: dsum !== undefined,
      })[0];
    const dx = needs[0] || needs[1] ? (dnormed === undefined ? dsum : through(dnormed)) : undefined;
    const gainGradient = (dy: Tensor): Tensor =>
      isGradEnabled()
        ? mul(dy, apply(rmsNormOps.op, [sum], attrs)[0])
        : apply(rmsNormOps.affineOp, [sum, dy], { ...attrs, bias: false })[0];
    const byWeight = needs[2] && dnormed !== undefined ? gainGradient(dnormed) : undefined;
    return [dx, dx, byWeight].slice(0, needs.length);
  },
  saves: (inputs) => ({ inputs: inputs.length > 2 ? [2] : [], outputs: [0] }),
  flops: ([x]) => 6 * sizeOf(x.shape),
};

/**
 * The sum of a residual stream and what a layer adds to it, and that sum's RMS norm, in one pass:
 * `[sum, rmsNorm(sum, weight, eps)]` with `sum = x + residual`. The gradient is one pass too.
 *
 * @param x - `[..., features]`
 * @param residual - of the same shape
 * @param weight - `[features]`, the learned gain; undefined for none
 * @param eps - added to mean(sum²), as in `rmsNorm`
 * @returns sum and norm, both `[..., features]`, f32 (f64 where `x` is)
 */
export function addRmsNorm(
  x: Tensor,
  residual: Tensor,
  weight?: Tensor,
  eps = 1e-5,
): [sum: Tensor, normed: Tensor] {
  const [sum, normed] = apply(addRmsNormOp, weight === undefined ? [x, residual] : [x, residual, weight], {
    eps,
  });
  return [sum, normed];
}
