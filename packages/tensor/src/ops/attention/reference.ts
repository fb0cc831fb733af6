import type { CpuArray } from "../op.ts";
import type { AttentionAttrs, AttentionPlan } from "./plan.ts";

/** Calls `each` for every query: batch, head, query, and the keys that it sees. */
function forEachRow(
  { batch, heads, queries, capacity, ahead, behind }: AttentionPlan,
  { keys }: AttentionAttrs,
  segments: CpuArray | undefined,
  each: (b: number, h: number, i: number, seen: readonly number[]) => void,
): void {
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < queries; i++) {
      const position = i + keys - queries;
      const seen: number[] = [];
      for (let j = Math.max(0, position - behind); j <= Math.min(keys - 1, position + ahead); j++) {
        const at = b * capacity;
        if (segments === undefined || segments.data[at + j] === segments.data[at + position]) seen.push(j);
      }
      for (let h = 0; h < heads; h++) each(b, h, i, seen);
    }
  }
}

/** Where the rows of a query begin: q, y, the line of lse, and k and v but for the key. */
function starts(plan: AttentionPlan, b: number, h: number, i: number) {
  const kvHead = Math.floor(h / plan.group);
  return {
    q: b * plan.q.batch + h * plan.q.head + i * plan.q.row,
    y: b * plan.y.batch + h * plan.y.head + i * plan.y.row,
    k: b * plan.k.batch + kvHead * plan.k.head,
    v: b * plan.v.batch + kvHead * plan.v.head,
    line: (b * plan.heads + h) * plan.queries + i,
  };
}

function dot(a: CpuArray, at: number, b: CpuArray, start: number, n: number): number {
  let sum = 0;
  for (let d = 0; d < n; d++) sum += a.data[at + d] * b.data[start + d];
  return sum;
}

/** The plain loops, in float64: scores of a query, their softmax, and the mean of the values by it. */
export function attentionReference(
  plan: AttentionPlan,
  attrs: AttentionAttrs,
  [q, k, v, segments]: readonly CpuArray[],
  [y, lse]: readonly CpuArray[],
): void {
  forEachRow(plan, attrs, segments, (b, h, i, seen) => {
    const at = starts(plan, b, h, i);
    const scores = seen.map((j) => attrs.scale * dot(q, at.q, k, at.k + j * plan.k.row, plan.headDim));
    const top = scores.reduce((a, c) => Math.max(a, c), -Infinity);
    const total = scores.reduce((sum, score) => sum + Math.exp(score - top), 0);
    lse.data[at.line] = seen.length === 0 ? NOTHING : top + Math.log(total);
    const row = new Float64Array(plan.valueDim);
    for (const [n, j] of seen.entries()) {
      const weight = Math.exp(scores[n] - top) / total;
      for (let d = 0; d < plan.valueDim; d++) row[d] += weight * v.data[at.v + j * plan.v.row + d];
    }
    y.data.set(row, at.y);
  });
}

/** The log-sum-exp of a row that sees nothing: e^(score − it) is 0. */
export const NOTHING = 1e30;

/** With p = softmax(s), s = scale · q·k, t = dy·v: ds = p (t − Σ dy·y), dq = scale ds k, dk = scale dsᵀ q, dv = pᵀ dy. */
export function attentionGradientReference(
  plan: AttentionPlan,
  attrs: AttentionAttrs,
  [q, k, v, segments]: readonly CpuArray[],
  { y, lse, dy }: { readonly y: CpuArray; readonly lse: CpuArray; readonly dy: CpuArray },
  [dq, dk, dv]: readonly CpuArray[],
): void {
  const { headDim, valueDim } = plan;
  const dqs = new Float64Array(dq.data.length);
  const dks = new Float64Array(dk.data.length);
  const dvs = new Float64Array(dv.data.length);
  forEachRow(plan, attrs, segments, (b, h, i, seen) => {
    const at = starts(plan, b, h, i);
    const delta = dot(dy, at.y, y, at.y, valueDim);
    for (const j of seen) {
      const kRow = at.k + j * plan.k.row;
      const vRow = at.v + j * plan.v.row;
      const p = Math.exp(attrs.scale * dot(q, at.q, k, kRow, headDim) - lse.data[at.line]);
      const ds = attrs.scale * p * (dot(dy, at.y, v, vRow, valueDim) - delta);
      for (let d = 0; d < headDim; d++) {
        dqs[at.q + d] += ds * k.data[kRow + d];
        dks[kRow + d] += ds * q.data[at.q + d];
      }
      for (let d = 0; d < valueDim; d++) dvs[vRow + d] += p * dy.data[at.y + d];
    }
  });
  dq.data.set(dqs);
  dk.data.set(dks);
  dv.data.set(dvs);
}
