import { scope } from "../scope.ts";
import type { Tensor } from "../tensor.ts";
import { add } from "./add.ts";
import { checkAffine, normalization } from "./normalize.ts";
import { apply } from "./op.ts";

/** The norm and its gradients, also for those that are fused with something else. */
export const layerNormOps = normalization("layerNorm", true);
const layerNormOp = layerNormOps.op;

/**
 * Layer normalisation over the last axis: `y = (x − mean x) / √(var x + eps) · weight + bias`, with the variance over
 * n, not n − 1. Sums in f32 on a GPU, in float64 on the CPU device.
 *
 * @param x - `[..., features]`
 * @param weight - `[features]`, the learned gain; undefined for none
 * @param bias - `[features]`, added last; undefined for none
 * @param eps - added to the variance, so in units of x²; GPT-2 uses 1e-5
 * @returns `[..., features]`, f32 (f64 where `x` is)
 * @see Ba, Kiros & Hinton 2016, eq. 4, https://arxiv.org/abs/1607.06450
 */
export function layerNorm(x: Tensor, weight?: Tensor, bias?: Tensor, eps = 1e-5): Tensor {
  if (weight === undefined) {
    if (bias === undefined) return apply(layerNormOp, [x], { eps })[0];
    checkAffine("layerNorm", "bias", bias, x);
    return scope(() => add(apply(layerNormOp, [x], { eps })[0], bias));
  }
  return apply(layerNormOp, bias === undefined ? [x, weight] : [x, weight, bias], { eps })[0];
}
