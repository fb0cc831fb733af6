import { DTypeError, ShapeError } from "../errors.ts";
import { scope } from "../scope.ts";
import { show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { add } from "./add.ts";
import { matmul } from "./matmul/matmul.ts";
import { mul } from "./mul.ts";
import { inShape } from "./reshape.ts";
import { maskedSoftmax } from "./softmax.ts";

export interface AttentionOptions {
  /** Broadcasts to `[batch, heads, seq, keys]`. bool: true where a query may attend; float: added to the scores. */
  mask?: Tensor;
  /** The query at position i of `seq` sees the keys up to i + keys − seq: with a cache, queries are the last positions. */
  causal?: boolean;
  /** Multiplies the scores. Default 1 / √headDim. */
  scale?: number;
}

/**
 * Attention: `softmax(scale · q · kᵀ + mask) · v`, each query over the keys that `mask` and `causal` leave it.
 * Grouped-query: heads may be a multiple of kvHeads; query heads j·g … j·g + g − 1 share key head j, which is read
 * where it is and never repeated. A query that may attend to nothing gets 0. For an additive mask use large finite
 * values (−1e9), since WGSL knows no infinity.
 *
 * @param q - `[batch, heads, seq, headDim]`
 * @param k - `[batch, kvHeads, keys, headDim]`
 * @param v - `[batch, kvHeads, keys, valueDim]`
 * @returns `[batch, heads, seq, valueDim]`
 * @see Vaswani et al. 2017, eq. 1, https://arxiv.org/abs/1706.03762; Ainslie et al. 2023, https://arxiv.org/abs/2305.13245
 */
export function scaledDotProductAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { mask, causal = false, scale }: AttentionOptions = {},
): Tensor {
  check(q, k, v, mask);
  const [batch, heads, seq, headDim] = q.shape;
  const [, kvHeads, keys] = k.shape;
  const factor = scale ?? 1 / Math.sqrt(headDim);
  // The queries that share a key head lie side by side: they are one matrix with group · seq rows.
  const grouped = [batch, kvHeads, (heads / kvHeads) * seq];
  return scope(() => {
    const products = matmul(inShape(q, [...grouped, headDim]), k, { transposeB: true });
    const scores = inShape(products, [batch, heads, seq, keys]);
    const weights =
      mask === undefined || mask.dtype === "bool"
        ? maskedSoftmax(scores, mask, { scale: factor, causal })
        : maskedSoftmax(add(mul(scores, factor), mask), undefined, { causal });
    const y = matmul(inShape(weights, [...grouped, keys]), v);
    return inShape(y, [batch, heads, seq, v.shape[3]]);
  });
}

function check(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | undefined): void {
  const who = "scaledDotProductAttention";
  for (const [name, x, axes] of [
    ["q", q, "[batch, heads, seq, headDim]"],
    ["k", k, "[batch, kvHeads, keys, headDim]"],
    ["v", v, "[batch, kvHeads, keys, valueDim]"],
  ] as const) {
    if (x.shape.length !== 4) throw new ShapeError(who, `${name} must be ${axes}, got ${show(x.shape)}.`);
  }
  const [batch, heads, seq, headDim] = q.shape;
  const [, kvHeads, keys] = k.shape;
  if (k.shape[0] !== batch || k.shape[3] !== headDim)
    throw new ShapeError(
      who,
      `k must be [${batch}, kvHeads, keys, ${headDim}] for q ${show(q.shape)}, got ${show(k.shape)}.`,
    );
  if (v.shape[0] !== batch || v.shape[1] !== kvHeads || v.shape[2] !== keys)
    throw new ShapeError(
      who,
      `v must be [${batch}, ${kvHeads}, ${keys}, valueDim] for k ${show(k.shape)}, got ${show(v.shape)}.`,
    );
  if (kvHeads === 0 || heads % kvHeads !== 0)
    throw new ShapeError(who, `heads must be a multiple of kvHeads, got ${heads} and ${kvHeads}.`);
  if (mask === undefined) return;
  if (mask.dtype === "i32" || mask.dtype === "u32")
    throw new DTypeError(
      who,
      `mask must be bool or a float type, got ${mask.dtype}. Use cast to bool first.`,
    );
  const to = [batch, heads, seq, keys];
  const lead = 4 - mask.shape.length;
  if (lead < 0 || mask.shape.some((dim, i) => dim !== 1 && dim !== to[i + lead]))
    throw new ShapeError(
      who,
      `mask must broadcast to [batch, heads, seq, keys] ${show(to)}, got ${show(mask.shape)}.`,
    );
}
