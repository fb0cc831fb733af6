import type { View } from "../../device/device.ts";
import type { Binding, Kernel } from "../kernel.ts";
import {
  type Operands,
  type Saved,
  sizeParams,
  statsKernel,
  strideParams,
  visibility,
} from "./flash.wgsl.ts";
import type { AttentionAttrs, AttentionPlan } from "./plan.ts";

/**
 * One query a lane: q and y stay in registers, keys come one by one, and the softmax is rescaled whenever a larger score comes.
 * Takes every head size, by four values where it can.
 */
export function plainForwardKernel(
  plan: AttentionPlan,
  attrs: AttentionAttrs,
  operands: Operands,
  y: View,
  lse: View,
): Kernel {
  const shared = plain(plan, attrs, operands, [
    { name: "y", view: y, access: "write" },
    { name: "lse", view: lse, access: "write" },
  ]);
  return {
    ...shared,
    key: `plain${shared.key}`,
    over: "element",
    count: plan.batch * plan.heads * plan.queries,
    main: () => `${rowOfLane}
  var q: array<T, HEAD>; var y: array<T, VALUE>;
  for (var d = 0u; d < HEAD; d++) { q[d] = q_get(q0 + d) * P.scale; }
  var top = -1e29f; var total = 0f;
  for (var j = begin; j < until; j++) {
    ${whereSeen(operands)} {
      let k_row = k0 + j * P.k_row; let v_row = v0 + j * P.v_row;
      var s = 0f;
      for (var d = 0u; d < HEAD; d++) { s += times(q[d], k_get(k_row + d)); }
      let next = max(top, s); let change = exp(top - next); let weight = exp(s - next);
      top = next;
      total = total * change + weight;
      for (var d = 0u; d < VALUE; d++) { y[d] = y[d] * change + weight * v_get(v_row + d); }
    }
  }
  let share = 1f / max(total, 1e-30f);
  for (var d = 0u; d < VALUE; d++) { y_set(y0 + d, y[d] * share); }
  lse_put(i, select(top + log(max(total, 1e-30f)), 1e30f, total == 0f));`,
  };
}

/** dq by one query a lane, then dk and dv by one key a lane, over all the queries that see it. */
export function plainGradientKernels(
  plan: AttentionPlan,
  attrs: AttentionAttrs,
  operands: Operands,
  saved: Saved,
  stats: View,
  [dq, dk, dv]: readonly View[],
): readonly Kernel[] {
  const given = [
    { name: "dy", view: saved.dy, access: "read" },
    { name: "stats", view: stats, access: "read" },
  ] as const;
  const forQueries = plain(plan, attrs, operands, [...given, { name: "dq", view: dq, access: "write" }]);
  const forKeys = plain(plan, attrs, operands, [
    ...given,
    { name: "dk", view: dk, access: "write" },
    { name: "dv", view: dv, access: "write" },
  ]);
  return [
    statsKernel(plan, saved, stats),
    {
      ...forQueries,
      key: `plainDq${forQueries.key}`,
      over: "element",
      count: plan.batch * plan.heads * plan.queries,
      main: () => `${rowOfLane}
  var q: array<T, HEAD>; var dq: array<T, HEAD>; var dy: array<T, VALUE>;
  for (var d = 0u; d < HEAD; d++) { q[d] = q_get(q0 + d) * P.scale; }
  for (var d = 0u; d < VALUE; d++) { dy[d] = dy_get(y0 + d); }
  let lse = stats_at(2u * i); let delta = stats_at(2u * i + 1u);
  for (var j = begin; j < until; j++) {
    ${whereSeen(operands)} {
      let k_row = k0 + j * P.k_row; let v_row = v0 + j * P.v_row;
      var s = 0f; var t = 0f;
      for (var d = 0u; d < HEAD; d++) { s += times(q[d], k_get(k_row + d)); }
      for (var d = 0u; d < VALUE; d++) { t += times(dy[d], v_get(v_row + d)); }
      let ds = exp(s - lse) * (t - delta) * P.scale;
      for (var d = 0u; d < HEAD; d++) { dq[d] += ds * k_get(k_row + d); }
    }
  }
  for (var d = 0u; d < HEAD; d++) { dq_set(q0 + d, dq[d]); }`,
    },
    {
      ...forKeys,
      key: `plainDkv${forKeys.key}`,
      over: "element",
      count: plan.batch * plan.kvHeads * plan.capacity,
      main: () => `let kv_heads = P.heads / P.group;
  let j = i % P.capacity;
  let kv_head = i / P.capacity % kv_heads;
  let batch = i / (P.capacity * kv_heads);
  let k0 = batch * P.k_batch + kv_head * P.k_head + j * P.k_row;
  let v0 = batch * P.v_batch + kv_head * P.v_head + j * P.v_row;
  var k: array<T, HEAD>; var dk: array<T, HEAD>; var v: array<T, VALUE>; var dv: array<T, VALUE>;
  for (var d = 0u; d < HEAD; d++) { k[d] = k_get(k0 + d) * P.scale; }
  for (var d = 0u; d < VALUE; d++) { v[d] = v_get(v0 + d); }
  let first = i32(P.keys) - i32(P.queries);
  let begin = u32(clamp(i32(j) - first - P.ahead, 0, i32(P.queries)));
  let until = select(0u, u32(clamp(i32(j) - first + P.behind + 1, 0, i32(P.queries))), j < P.keys);
  for (var h = 0u; h < P.group; h++) {
    let head = kv_head * P.group + h;
    for (var n = begin; n < until; n++) {
      ${operands.segments === undefined ? "" : "if (segment(batch, first + i32(n)) == segment(batch, i32(j)))"} {
        let line = 2u * ((batch * P.heads + head) * P.queries + n);
        let q_row = batch * P.q_batch + head * P.q_head + n * P.q_row;
        let y_row = batch * P.y_batch + head * P.y_head + n * P.y_row;
        var s = 0f; var t = 0f;
        for (var d = 0u; d < HEAD; d++) { s += times(k[d], q_get(q_row + d)); }
        for (var d = 0u; d < VALUE; d++) { t += times(v[d], dy_get(y_row + d)); }
        let p = exp(s - stats_at(line));
        let ds = p * (t - stats_at(line + 1u)) * P.scale;
        for (var d = 0u; d < HEAD; d++) { dk[d] += ds * q_get(q_row + d); }
        for (var d = 0u; d < VALUE; d++) { dv[d] += p * dy_get(y_row + d); }
      }
    }
  }
  for (var d = 0u; d < HEAD; d++) { dk_set(k0 + d, dk[d]); }
  for (var d = 0u; d < VALUE; d++) { dv_set(v0 + d, dv[d]); }`,
    },
  ];
}

/** The lane's query, where its operands begin and which keys it may see. */
const rowOfLane = `let n = i % P.queries;
  let head = i / P.queries % P.heads;
  let batch = i / (P.queries * P.heads);
  let q0 = batch * P.q_batch + head * P.q_head + n * P.q_row;
  let y0 = batch * P.y_batch + head * P.y_head + n * P.y_row;
  let k0 = batch * P.k_batch + head / P.group * P.k_head;
  let v0 = batch * P.v_batch + head / P.group * P.v_head;
  let position = i32(P.keys) - i32(P.queries) + i32(n);
  let begin = u32(max(position - P.behind, 0));
  let until = u32(clamp(position + P.ahead + 1, 0, i32(P.keys)));`;

const whereSeen = ({ segments }: Operands): string =>
  segments === undefined ? "" : "if (segment(batch, position) == segment(batch, i32(j)))";

/** What a kernel shares with the others: operands and params, and functions that read and write four values where all operands allow it. */
function plain(
  plan: AttentionPlan,
  attrs: AttentionAttrs,
  { q, k, v, segments }: Operands,
  more: readonly Omit<Binding, "as">[],
): Pick<Kernel, "bindings" | "params" | "declare"> & { readonly key: string } {
  const { headDim, valueDim } = plan;
  const rows: Omit<Binding, "as">[] = [
    { name: "q", view: q, access: "read" },
    { name: "k", view: k, access: "read" },
    { name: "v", view: v, access: "read" },
    ...more.filter(({ name }) => !isNumbers(name)),
  ];
  const vec =
    [headDim, valueDim].every((dim) => dim % 4 === 0) &&
    rows.every(({ view: { dtype, offset } }) => dtype === "f32" && offset % 4 === 0);
  const unit = vec ? 4 : 1;
  const suffix = vec ? "4" : "";
  const accessors = rows.map(({ name, access }) =>
    access === "read"
      ? `fn ${name}_get(i: u32) -> T { return ${name}_at${suffix}(i); }`
      : `fn ${name}_set(i: u32, value: T) { ${name}_put${suffix}(i, value); }`,
  );
  return {
    key: `${unit}d${headDim}x${valueDim}${segments === undefined ? "" : "s"}`,
    bindings: [
      ...rows.map((row): Binding => ({ ...row, as: vec ? "vec4" : undefined })),
      ...(segments === undefined ? [] : [{ name: "segments", view: segments, access: "read" as const }]),
      ...more.filter(({ name }) => isNumbers(name)),
    ],
    params: [
      ...sizeParams(plan, attrs, unit),
      ...strideParams("v", plan.v, unit),
      ...strideParams("y", plan.y, unit),
      ["capacity", "u32", plan.capacity],
    ],
    declare: () => `const HEAD = ${headDim / unit}u; const VALUE = ${valueDim / unit}u;
alias T = ${vec ? "vec4f" : "f32"};
fn times(a: T, b: T) -> f32 { return ${vec ? "dot(a, b)" : "a * b"}; }
${accessors.join("\n")}
${visibility(segments !== undefined)}`,
  };
}

/** Bindings with one number a row, or two. */
const isNumbers = (name: string): boolean => name === "lse" || name === "stats";
