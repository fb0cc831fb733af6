import {
  abs,
  add,
  any,
  cast,
  div,
  ge,
  maskedFill,
  max,
  maximum,
  mul,
  noGrad,
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
 * What LLM.int8() multiplies in the place of activations: x rounded to float16, then each row (a token) to 8 bits by its
 * absmax, `round(x · 127 / absmax) · absmax / 127`; columns (features) in which any row reaches the threshold stay float16,
 * and their large values count for no absmax. Since bitsandbytes' products of int8 are exact, x̂ · Wᵀ with the dequantized W is
 * what its two products add up to, but for its rounding of results to float16.
 *
 * The gradient passes as if nothing were rounded, as bitsandbytes' backward does.
 *
 * @param x - `[..., features]`; returns the same shape
 * @param threshold - the size from which a value is an outlier
 * @see Dettmers et al. 2022 (LLM.int8()), section 3, https://arxiv.org/abs/2208.07339; bitsandbytes `backends/default/ops.py`,
 * int8_vectorwise_quant and int8_mixed_scaled_mm
 */
export function int8Activations(x: Tensor, threshold: number = outlierThreshold): Tensor {
  return scope(() => {
    const change = noGrad(() => {
      const features = x.shape.at(-1) ?? 1;
      const rows = sizeOf(x.shape) / Math.max(1, features);
      const half = cast(cast(x, "f16"), "f32").reshape([rows, features]);
      const large = ge(abs(half), threshold);
      const small = maskedFill(half, large, 0);
      const absmax = max(abs(small), -1, { keepDim: true });
      // A row of zeros stays zeros: of 0 · 127 / tiny.
      const codes = round(mul(small, div(127, maximum(absmax, 2 ** -24))));
      const rounded = mul(codes, mul(absmax, 1 / 127));
      return sub(where(any(large, 0), half, rounded).reshape(x.shape), x);
    });
    return add(x, change);
  });
}
