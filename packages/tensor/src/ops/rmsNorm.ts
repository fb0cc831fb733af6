import type { Tensor } from "../tensor.ts";
import { normalization } from "./normalize.ts";
import { apply } from "./op.ts";

/** The norm and its gradients, also for those that are fused with something else. */
export const rmsNormOps = normalization("rmsNorm", false);

/**
 * Root-mean-square normalisation over the last axis: `y = x / √(mean(x²) + eps) · weight`.
 * Unlike LayerNorm it subtracts no mean and adds no bias. Sums in f32 on a GPU, in float64 on the CPU device.
 *
 * @param x - `[..., features]`
 * @param weight - `[features]`, the learned gain; undefined for none
 * @param eps - added to mean(x²), so in units of x²; Llama uses 1e-5
 * @returns `[..., features]`, f32 (f64 where `x` is)
 * @see Zhang & Sennrich 2019, eq. 4, https://arxiv.org/abs/1910.07467
 */
export function rmsNorm(x: Tensor, weight?: Tensor, eps = 1e-5): Tensor {
  return apply(rmsNormOps.op, weight === undefined ? [x] : [x, weight], { eps })[0];
}
