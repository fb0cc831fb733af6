import { fromArray } from "../../create.ts";
import { scope } from "../../scope.ts";
import type { Tensor } from "../../tensor.ts";
import { add } from "../add.ts";
import { eq } from "../eq.ts";
import { logicalAnd } from "../logicalAnd.ts";
import { matmul } from "../matmul/matmul.ts";
import { mul } from "../mul.ts";
import type { GradientContext } from "../op.ts";
import { permute } from "../permute.ts";
import { inShape, reshape } from "../reshape.ts";
import { slice } from "../slice.ts";
import { maskedSoftmax } from "../softmax.ts";
import { sub } from "../sub.ts";
import { sum } from "../sum.ts";
import { type AttentionAttrs, type AttentionLayout, type AttentionPlan, planAttention } from "./plan.ts";

/**
 * Attention from matmul and softmax, with all scores in memory: what the fused kernels are compared with, what takes a mask
 * tensor, and what has gradients of every order.
 * @param mask - broadcasts to `[batch, heads, queries, keys]`; bool: true where a query may look; float: added to the scores
 */
export function composedAttention(
  [q, k, v, segments]: readonly Tensor[],
  attrs: AttentionAttrs,
  mask?: Tensor,
): Tensor {
  return scope(() => {
    const plan = planAttention(segments === undefined ? [q, k, v] : [q, k, v, segments], attrs);
    const [qs, ks, vs] = [q, k, v].map((x) => headsFirst(x, attrs.layout));
    const scores = products(plan, qs, ks);
    const seen = seenKeys(plan, attrs, segments, q);
    const { scale, causal } = attrs;
    let weights: Tensor;
    if (mask === undefined || mask.dtype === "bool") {
      const both = mask === undefined || seen === undefined ? (mask ?? seen) : logicalAnd(mask, seen);
      weights = maskedSoftmax(scores, both, { scale, causal: causal && seen === undefined });
    } else {
      weights = maskedSoftmax(add(mul(scores, scale), mask), seen, { causal: causal && seen === undefined });
    }
    return headsFirst(averages(plan, weights, vs), attrs.layout);
  });
}

/**
 * The gradient of the gradient op. With s = scale q kᵀ, p = softmax(s), t = dy vᵀ, ds = p (t − Σ p t), and what came for
 * dq, dk and dv named a, b and c: L = Σ ds (scale (a kᵀ + q bᵀ)) + Σ p (dy cᵀ) is differentiated by q, k, v and dy.
 */
export function composedGradient({
  inputs,
  dys,
  attrs,
}: GradientContext<AttentionAttrs>): (Tensor | undefined)[] {
  const [q, k, v, , , dy, segments] = inputs;
  const { layout, scale, causal } = attrs;
  const plan = planAttention(segments === undefined ? [q, k, v] : [q, k, v, segments], attrs);
  const [qs, ks, vs, dyHeads] = [q, k, v, dy].map((x) => headsFirst(x, layout));
  const [a, b, c] = dys
    .map((x, i) => (x === undefined ? mul(inputs[i], 0) : x))
    .map((x) => headsFirst(x, layout));
  const seen = seenKeys(plan, attrs, segments, q);
  const rows = (x: Tensor): Tensor => sum(x, -1, { keepDim: true });
  const p = maskedSoftmax(products(plan, qs, ks), seen, { scale, causal: causal && seen === undefined });
  const t = products(plan, dyHeads, vs);
  const centred = sub(t, rows(mul(p, t)));
  const ds = mul(mul(p, centred), scale);
  // By ds, then by t and p through ds, then by s through p.
  const byDs = mul(add(products(plan, a, ks), products(plan, qs, b)), scale);
  const mean = rows(mul(byDs, p));
  const byT = mul(p, sub(byDs, mean));
  const byP = add(sub(mul(byDs, centred), mul(mean, t)), products(plan, dyHeads, c));
  const byS = mul(mul(p, sub(byP, rows(mul(byP, p)))), scale);
  const back = (x: Tensor): Tensor => headsFirst(x, layout);
  return [
    back(add(averages(plan, ds, b), averages(plan, byS, ks))),
    back(add(gathered(plan, ds, a), gathered(plan, byS, qs))),
    back(gathered(plan, byT, dyHeads)),
    undefined,
    undefined,
    back(add(averages(plan, p, c), averages(plan, byT, vs))),
    undefined,
  ];
}

/** `[batch, heads, rows, dim]` from a layout, and back: it is one exchange of axes or none. */
function headsFirst(x: Tensor, layout: AttentionLayout): Tensor {
  return layout === "bhtd" ? x : permute(x, [0, 2, 1, 3]);
}

/** The queries that share a key head lie side by side: they are one matrix of group · queries rows. */
function grouped({ batch, kvHeads, group, queries }: AttentionPlan, x: Tensor): Tensor {
  return inShape(x, [batch, kvHeads, group * queries, x.shape[3]]);
}

function ungrouped({ batch, heads, queries }: AttentionPlan, x: Tensor): Tensor {
  return inShape(x, [batch, heads, queries, x.shape[3]]);
}

/** Scores of queries with keys: `[batch, heads, queries, keys]`. */
function products(plan: AttentionPlan, queries: Tensor, keys: Tensor): Tensor {
  return ungrouped(plan, matmul(grouped(plan, queries), keys, { transposeB: true }));
}

/** Lines of keys, weighted for each query. */
function averages(plan: AttentionPlan, weights: Tensor, keys: Tensor): Tensor {
  return ungrouped(plan, matmul(grouped(plan, weights), keys));
}

/** Lines of queries, weighted for each key, summed over the heads that share it. */
function gathered(plan: AttentionPlan, weights: Tensor, queries: Tensor): Tensor {
  return matmul(grouped(plan, weights), grouped(plan, queries), { transposeA: true });
}

/** bool, true where a query sees a key; undefined where causality, which needs no tensor, says it all. */
function seenKeys(
  { batch, queries, capacity, ahead, behind }: AttentionPlan,
  { keys, window }: AttentionAttrs,
  segments: Tensor | undefined,
  { device }: Tensor,
): Tensor | undefined {
  const first = keys - queries;
  if (keys === capacity && window === Infinity && segments === undefined) return undefined;
  const may = Array.from({ length: queries * capacity }, (_, at) => {
    const position = first + Math.floor(at / capacity);
    const key = at % capacity;
    return Number(key < keys && key <= position + ahead && key >= position - behind);
  });
  const near = fromArray(device, may, [queries, capacity], { dtype: "bool" });
  if (segments === undefined) return near;
  const own = reshape(slice(segments, 1, first, keys), [batch, 1, queries, 1]);
  return logicalAnd(near, eq(own, reshape(segments, [batch, 1, 1, capacity])));
}
