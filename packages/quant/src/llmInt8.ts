import {
  abs,
  add,
  any,
  cast,
  ge,
  maskedFill,
  max,
  maximum,
  mul,
  noGrad,
  reciprocal,
  round,
  scope,
  sizeOf,
  sub,
  type Tensor,
  where,
} from "@graft/tensor";

/** transformers' `llm_int8_threshold`. */
export const outlierThreshold = 6;

/**
 * What LLM.int8() multiplies in the place of activations: each row (a token) goes through float16 to 8 bits by its absmax,
 * `round(x · 127 / absmax) · absmax / 127`; columns (features) in which any row reaches the threshold stay as they are, and their
 * large values count for no absmax. Since bitsandbytes' products of int8 are exact, x̂ · Wᵀ with the dequantized W is what its two
 * products add up to.
 *
 * The gradient passes as if nothing were rounded, as bitsandbytes' backward does.
 *
 * @param x - `[..., features]`; returns the same shape
 * @param threshold - the size from which a value is an outlier; 0 for none, as in bitsandbytes
 * @see Dettmers et al. 2022 (LLM.int8()), section 3, https://arxiv.org/abs/2208.07339; bitsandbytes `backends/default/ops.py`,
 * int8_vectorwise_quant and int8_mixed_scaled_mm
 */
export function int8Activations(x: Tensor, threshold: number = outlierThreshold): Tensor {
  return scope(() => {
    const change = noGrad(() => {
      const features = x.shape.at(-1) ?? 1;
      const rows = sizeOf(x.shape) / Math.max(1, features);
      const flat = x.reshape([rows, features]);
      const half = cast(cast(flat, "f16"), "f32");
      if (threshold === 0) return sub(rounded(half), flat).reshape(x.shape);
      const large = ge(abs(half), threshold);
      const kept = where(any(large, 0), flat, rounded(maskedFill(half, large, 0)));
      return sub(kept, flat).reshape(x.shape);
    });
    return add(x, change);
  });
}

/** Each row in 8 bits by its absmax, and back. A row of zeros stays zeros: of 0 · 127 / tiny. */
function rounded(x: Tensor): Tensor {
  const absmax = max(abs(x), -1, { keepDim: true });
  // torch's 127 / x is a reciprocal times 127.
  const codes = round(mul(x, mul(reciprocal(maximum(absmax, 2 ** -24)), 127)));
  return mul(codes, mul(absmax, 1 / 127));
}
