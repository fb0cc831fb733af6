import type { Tensor } from "../tensor.ts";
import { layerNormOps } from "./layerNorm.ts";
import { addNormalization } from "./normalizeAdd.ts";
import { apply } from "./op.ts";

export const addLayerNormOp = addNormalization("addLayerNorm", layerNormOps);

/**
 * The sum of a residual stream and what a layer adds to it, and that sum's layer norm, in one pass:
 * `[sum, layerNorm(sum, weight, bias, eps)]` with `sum = x + residual`. The gradient by both is one pass too.
 *
 * @param x - `[..., features]`
 * @param residual - of the same shape
 * @param weight - `[features]`, the learned gain
 * @param bias - `[features]`, added last; undefined for none
 * @param eps - added to the variance, as in `layerNorm`
 * @returns sum and norm, both `[..., features]`, f32 (f64 where `x` is)
 */
export function addLayerNorm(
  x: Tensor,
  residual: Tensor,
  weight: Tensor,
  bias?: Tensor,
  eps = 1e-5,
): [sum: Tensor, normed: Tensor] {
  const affine = bias === undefined ? [weight] : [weight, bias];
  const [sum, normed] = apply(addLayerNormOp, [x, residual, ...affine], { eps });
  return [sum, normed];
}
