import { changesNothing, everyStep } from "../compile/live.ts";
import { DTypeError, ShapeError } from "../errors.ts";
import { scope } from "../scope.ts";
import { show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { attentionOp } from "./attention/attention.ts";
import { composedAttention } from "./attention/composed.ts";
import { type AttentionAttrs, type AttentionLayout, checkAttention, sizes } from "./attention/plan.ts";
import { apply } from "./op.ts";

export interface AttentionOptions {
  /**
   * Broadcasts to `[batch, heads, seq, keys]`. bool: true where a query may attend; float: added to the scores. Costs a tensor of
   * all scores, which `causal`, `window` and `segments` do not.
   */
  mask?: Tensor;
  /** The query at position i of `seq` sees the keys up to i + keys − seq: with a cache, queries are the last positions. */
  causal?: boolean;
  /** Of those only the last so many; needs `causal`. Default: all. */
  window?: number;
  /** i32 `[batch, keys]`: a query sees only keys of its own segment, as texts packed into one row need it. */
  segments?: Tensor;
  /** Multiplies the scores. Default 1 / √headDim. */
  scale?: number;
  /** How many of the keys hold values, the first of them; a function is asked again in each step of a compiled one. Default: all. */
  keys?: number | (() => number);
  /** The order of the axes of q, k, v and the result. "bthd" is what a projection gives, without a permutation. Default "bhtd". */
  layout?: AttentionLayout;
}

/**
 * Attention: `softmax(scale · q · kᵀ + mask) · v`, each query over the keys that the options leave it.
 * Grouped-query: heads may be a multiple of kvHeads; query heads j·g … j·g + g − 1 share key head j, which is read
 * where it is and never repeated. A query that may attend to nothing gets 0. Without `mask` the scores are never in memory, forward
 * or backward. For an additive mask use large finite values (−1e9), since WGSL knows no infinity.
 *
 * @param q - `[batch, heads, seq, headDim]`, or with layout "bthd" `[batch, seq, heads, headDim]`
 * @param k - `[batch, kvHeads, keys, headDim]`, or `[batch, keys, kvHeads, headDim]`
 * @param v - `[batch, kvHeads, keys, valueDim]`, or `[batch, keys, kvHeads, valueDim]`
 * @returns `[batch, heads, seq, valueDim]`, or `[batch, seq, heads, valueDim]`
 * @see Vaswani et al. 2017, eq. 1, https://arxiv.org/abs/1706.03762; Ainslie et al. 2023, https://arxiv.org/abs/2305.13245;
 * Dao 2023, https://arxiv.org/abs/2307.08691 for the order of the work
 */
export function scaledDotProductAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { mask, causal = false, window, segments, scale, keys, layout = "bhtd" }: AttentionOptions = {},
): Tensor {
  checkAttention([q, k, v], layout);
  const all = sizes(k, layout)[2];
  const attrsNow = (): AttentionAttrs => ({
    layout,
    scale: scale ?? 1 / Math.sqrt(q.shape[3]),
    causal,
    window: window ?? Infinity,
    keys: typeof keys === "function" ? keys() : (keys ?? all),
  });
  const attrs = typeof keys === "function" ? everyStep(attrsNow, changesNothing) : attrsNow();
  const inputs = segments === undefined ? [q, k, v] : [q, k, v, segments];
  if (mask === undefined) return scope(() => apply(attentionOp, inputs, attrs)[0]);
  checkMask(mask, [q.shape[0], sizes(q, layout)[1], sizes(q, layout)[2], all]);
  return composedAttention(inputs, attrs, mask);
}

function checkMask(mask: Tensor, to: readonly number[]): void {
  const who = "scaledDotProductAttention";
  if (mask.dtype === "i32" || mask.dtype === "u32")
    throw new DTypeError(
      who,
      `mask must be bool or a float type, got ${mask.dtype}. Use cast to bool first.`,
    );
  const lead = 4 - mask.shape.length;
  if (lead < 0 || mask.shape.some((dim, i) => dim !== 1 && dim !== to[i + lead]))
    throw new ShapeError(
      who,
      `mask must broadcast to [batch, heads, seq, keys] ${show(to)}, got ${show(mask.shape)}.`,
    );
}
