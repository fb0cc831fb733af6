import type { Tensor } from "../tensor.ts";
import { addNormalization } from "./normalizeAdd.ts";
import { apply } from "./op.ts";
import { rmsNormOps } from "./rmsNorm.ts";

export const addRmsNormOp = addNormalization("addRmsNorm", rmsNormOps);

/**
 * The sum of a residual stream and what a layer adds to it, and that sum's RMS norm, in one pass:
 * `[sum, rmsNorm(sum, weight, eps)]` with `sum = x + residual`. The gradient by both is one pass too.
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
