import type { View } from "../../device/device.ts";
import type { Binding, Kernel, Param } from "../kernel.ts";
import type { Engine, Lines } from "./engine.ts";
import type { AttentionAttrs, AttentionPlan, Strides } from "./plan.ts";

export interface Operands {
  readonly q: View;
  readonly k: View;
  readonly v: View;
  readonly segments?: View;
}

/** What the gradient reads beside the operands. */
export interface Saved {
  readonly y: View;
  readonly lse: View;
  readonly dy: View;
}

/** Below every score. The running maximum starts a little higher, so that e^(masked − maximum) is 0. */
const MASKED = "-1e30f";
const LOWEST = "-1e29f";
/** The log-sum-exp of a row that sees nothing: e^(score − it) is 0. */
const NOTHING = "1e30f";

/** y and lse: online softmax over tiles of keys. */
export function forwardKernel(
  plan: AttentionPlan,
  attrs: AttentionAttrs,
  operands: Operands,
  y: View,
  lse: View,
  engine: Engine,
): Kernel {
  const { rows, columns, mine, others, parts } = engine;
  const shared = common(plan, attrs, operands, [operands.q, operands.k, operands.v, y]);
  const tiles = Math.ceil(plan.queries / rows);
  const q: Lines = { name: "q", start: "q0", first: "row0" };
  const k: Lines = { name: "k", start: "k0", first: "col0" };
  return {
    key: `${engine.key}d${plan.headDim}${shared.key}`,
    over: "group",
    lanes: engine.lanes,
    subgroups: engine.subgroups,
    count: tiles * plan.heads * plan.batch,
    bindings: [...shared.bindings, shared.bind("y", y, "write"), { name: "lse", view: lse, access: "write" }],
    params: [...shared.params, ...engine.params, ["tiles", "u32", tiles]],
    declare: () => `${shared.declare}\n${shared.writer("y")}\n${engine.declare()}`,
    main: () => `${engine.begin}
  ${queryTile(engine)}
  ${each(mine, (r) => `var m${r} = ${LOWEST}; var z${r} = 0f;`)}
  ${each(mine, (r) => each(parts, (p) => `var y${r}_${p} = vec4f();`))}
  ${engine.hold(q)}
  ${shared.segmented ? engine.forRows("seg", (row) => `segment(batch, first + i32(row0 + ${row}))`) : ""}
  for (var col0 = begin; col0 < until; col0 += ${columns}u) {
    ${engine.product("s", q, k)}
    ${masked(shared.segmented, engine)}
    ${engine.fold("max", "top", (r) => largest(others.map((c) => `s${r}_${c}`)))}
    ${each(
      mine,
      (r) => `{ let n = max(m${r}, top${r}); let change = exp(m${r} - n); m${r} = n;
      ${each(others, (c) => `s${r}_${c} = exp(s${r}_${c} - n);`)}
      z${r} = fma(z${r}, change, ${others.map((c) => `s${r}_${c}`).join(" + ")}); ${each(parts, (p) => `y${r}_${p} *= change;`)} }`,
      "\n    ",
    )}
    ${engine.accumulate("y", "s", { ...k, name: "v" })}
  }
  ${engine.fold("sum", "sum", (r) => `z${r}`)}
  ${each(mine, (r) => `let share${r} = 1f / max(sum${r}, 1e-30f);`)}
  ${each(
    mine,
    (r) =>
      `if (${engine.writes(r)} && row0 + ${engine.row(r)} < P.queries) { lse_put(line0 + row0 + ${engine.row(r)}, select(m${r} + log(max(sum${r}, 1e-30f)), ${NOTHING}, sum${r} == 0f)); }`,
    "\n  ",
  )}
  ${engine.store("y", (r, part, value) => `if (row0 + ${engine.row(r)} < P.queries) { y_store(q0 + (row0 + ${engine.row(r)}) * P.q_row, ${part}, ${value} * share${r}); }`)}`,
  };
}

/** Of each row: the log-sum-exp, and Σ dy · y, side by side. Only where the kernel of dq has no binding left for y. */
export function statsKernel(plan: AttentionPlan, { y, lse, dy }: Saved, stats: View): Kernel {
  return {
    key: "stats",
    over: "element",
    count: plan.batch * plan.heads * plan.queries,
    bindings: [
      { name: "y", view: y, access: "read" },
      { name: "dy", view: dy, access: "read" },
      { name: "lse", view: lse, access: "read" },
      { name: "stats", view: stats, access: "write" },
    ],
    params: [
      ["dim", "u32", plan.valueDim],
      ["heads", "u32", plan.heads],
      ["queries", "u32", plan.queries],
      ...strideParams("y", plan.y, 1),
    ],
    main: () => `let at = i / (P.heads * P.queries) * P.y_batch + i / P.queries % P.heads * P.y_head + i % P.queries * P.y_row;
  var delta = 0f;
  for (var d = 0u; d < P.dim; d++) { delta += y_at(at + d) * dy_at(at + d); }
  stats_put(2u * i, lse_at(i));
  stats_put(2u * i + 1u, delta);`,
  };
}

/** dq, and the stats of each row, which the kernel of dk and dv reads; with segments those are given. */
export function queryGradientKernel(
  plan: AttentionPlan,
  attrs: AttentionAttrs,
  operands: Operands,
  { y, lse, dy }: Saved,
  dq: View,
  stats: View,
  engine: Engine,
): Kernel {
  const { columns, mine, others, parts } = engine;
  const shared = common(plan, attrs, operands, [operands.q, operands.k, operands.v, y, dy, dq]);
  const { segmented } = shared;
  const tiles = Math.ceil(plan.queries / engine.rows);
  const q: Lines = { name: "q", start: "q0", first: "row0" };
  const k: Lines = { name: "k", start: "k0", first: "col0" };
  const line = (row: string) => `(line0 + min(row0 + ${row}, P.queries - 1u))`;
  return {
    key: `dq${engine.key}d${plan.headDim}${shared.key}`,
    over: "group",
    lanes: engine.lanes,
    subgroups: engine.subgroups,
    count: tiles * plan.heads * plan.batch,
    bindings: [
      ...shared.bindings,
      shared.bind("dy", dy, "read"),
      shared.bind("dq", dq, "write"),
      { name: "stats", view: stats, access: segmented ? "read" : "write" },
      ...(segmented
        ? []
        : [shared.bind("y", y, "read"), { name: "lse", view: lse, access: "read" } as const]),
    ],
    params: [...shared.params, ...engine.params, ["tiles", "u32", tiles]],
    declare: () => `${shared.declare}
${shared.reader("dy", "queries")}
${shared.writer("dq")}
${segmented ? "" : `${shared.reader("y", "queries")}\n${DELTA}`}
${engine.declare()}`,
    main: () => `${engine.begin}
  ${queryTile(engine)}
  ${each(mine, (r) => each(parts, (p) => `var dq${r}_${p} = vec4f();`))}
  ${engine.hold(q)}
  ${engine.hold({ ...q, name: "dy" })}
  ${engine.forRows("delta", (row) => (segmented ? `stats_at(2u * ${line(row)} + 1u)` : `delta_of(q0 + y_line(row0 + ${row}))`))}
  ${engine.forRows("lse", (row) => (segmented ? `stats_at(2u * ${line(row)})` : `lse_at(${line(row)})`))}
  ${segmented ? engine.forRows("seg", (row) => `segment(batch, first + i32(row0 + ${row}))`) : ""}
  ${segmented ? "" : engine.eachRow(`if (row0 + row < P.queries) { let at = line0 + row0 + row; stats_put(2u * at, lse_at(at)); stats_put(2u * at + 1u, delta_of(q0 + y_line(row0 + row))); }`)}
  for (var col0 = begin; col0 < until; col0 += ${columns}u) {
    ${engine.product("s", q, k)}
    ${engine.product("t", { ...q, name: "dy" }, { ...k, name: "v" })}
    ${masked(segmented, engine)}
    ${each(mine, (r) => each(others, (c) => `s${r}_${c} = exp(s${r}_${c} - lse${r}) * (t${r}_${c} - delta${r}) * P.scale;`), "\n    ")}
    ${engine.accumulate("dq", "s", k)}
  }
  ${engine.store("dq", (r, part, value) => `if (row0 + ${engine.row(r)} < P.queries) { dq_store(q0 + (row0 + ${engine.row(r)}) * P.q_row, ${part}, ${value}); }`)}`,
  };
}

// The bound is a param, since lavapipe unrolls short loops of a known length, and each load costs it a good part of a second to compile.
const DELTA = `fn delta_of(line: u32) -> f32 {
  var total = 0f;
  for (var d = 0u; d < P.vectors; d++) { total += dot(y_load(line, d), dy_load(line, d)); }
  return total;
}`;

/**
 * dk and dv: a workgroup owns a tile of keys of one key head and goes over the query heads that share it, so that their
 * sum has one owner and a fixed order.
 */
export function keyGradientKernel(
  plan: AttentionPlan,
  attrs: AttentionAttrs,
  operands: Operands,
  dy: View,
  stats: View,
  dk: View,
  dv: View,
  engine: Engine,
): Kernel {
  const { rows, columns, mine, others, parts } = engine;
  const shared = common(plan, attrs, operands, [operands.q, operands.k, operands.v, dy, dk, dv]);
  const tiles = Math.ceil(plan.capacity / rows);
  const k: Lines = { name: "k", start: "k0", first: "row0" };
  const q: Lines = { name: "q", start: "q0", first: "col0" };
  const column = (c: number) => `col0 + ${engine.column(c)}`;
  const sees = (r: number, c: number) =>
    `(${column(c)} < P.queries) & sees(first + i32(${column(c)}), i32(row0 + ${engine.row(r)}))${shared.segmented ? ` & (seg${r} == other${c})` : ""}`;
  return {
    key: `dkv${engine.key}d${plan.headDim}${shared.key}`,
    over: "group",
    lanes: engine.lanes,
    subgroups: engine.subgroups,
    count: tiles * plan.kvHeads * plan.batch,
    bindings: [
      ...shared.bindings,
      shared.bind("dy", dy, "read"),
      { name: "stats", view: stats, access: "read" },
      shared.bind("dk", dk, "write"),
      shared.bind("dv", dv, "write"),
    ],
    params: [...shared.params, ...engine.params, ["tiles", "u32", tiles], ["capacity", "u32", plan.capacity]],
    declare: () => `${shared.declare}
${shared.reader("dy", "queries")}
${shared.writer("dk")}
${shared.writer("dv")}
${engine.declare()}`,
    main: () => `${engine.begin}
  let kv_heads = P.heads / P.group;
  let row0 = group % P.tiles * ${rows}u;
  let kv_head = group / P.tiles % kv_heads;
  let batch = group / (P.tiles * kv_heads);
  let k0 = batch * P.k_batch + kv_head * P.k_head;
  let first = i32(P.keys) - i32(P.queries);
  // The queries that see one of these keys.
  let begin = u32(clamp(i32(row0) - first - P.ahead, 0, i32(P.queries))) / ${columns}u * ${columns}u;
  let until = u32(clamp(i32(min(row0 + ${rows}u, P.keys)) - first + P.behind, 0, i32(P.queries)));
  ${each(mine, (r) => each(parts, (p) => `var dk${r}_${p} = vec4f(); var dv${r}_${p} = vec4f();`))}
  ${engine.hold(k)}
  ${engine.hold({ ...k, name: "v" })}
  ${shared.segmented ? engine.forRows("seg", (row) => `segment(batch, i32(row0 + ${row}))`) : ""}
  for (var h = 0u; h < P.group; h++) {
    let head = kv_head * P.group + h;
    let q0 = batch * P.q_batch + head * P.q_head;
    let line0 = (batch * P.heads + head) * P.queries;
    for (var col0 = begin; col0 < until; col0 += ${columns}u) {
      ${engine.product("s", k, q)}
      ${engine.product("t", { ...k, name: "v" }, { ...q, name: "dy" })}
      ${each(others, (c) => `let at${c} = 2u * (line0 + min(${column(c)}, P.queries - 1u)); let lse${c} = stats_at(at${c}); let delta${c} = stats_at(at${c} + 1u);`)}
      ${shared.segmented ? each(others, (c) => `let other${c} = segment(batch, first + i32(${column(c)}));`) : ""}
      ${each(mine, (r) => each(others, (c) => `s${r}_${c} = exp(select(${MASKED}, s${r}_${c} * P.scale, ${sees(r, c)}) - lse${c});`), "\n      ")}
      ${engine.accumulate("dv", "s", { ...q, name: "dy" })}
      ${each(mine, (r) => each(others, (c) => `s${r}_${c} *= (t${r}_${c} - delta${c}) * P.scale;`), "\n      ")}
      ${engine.accumulate("dk", "s", q)}
    }
  }
  ${engine.store("dk", (r, part, value) => `if (row0 + ${engine.row(r)} < P.capacity) { dk_store(k0 + (row0 + ${engine.row(r)}) * P.k_row, ${part}, ${value}); }`)}
  ${engine.store("dv", (r, part, value) => `if (row0 + ${engine.row(r)} < P.capacity) { dv_store(k0 + (row0 + ${engine.row(r)}) * P.k_row, ${part}, ${value}); }`)}`,
  };
}

/** Declares the tile of queries of this workgroup and the keys that it may see. Late tiles see most, and begin first. */
function queryTile({ rows, columns }: Engine): string {
  return `let row0 = (P.tiles - 1u - group % P.tiles) * ${rows}u;
  let head = group / P.tiles % P.heads;
  let batch = group / (P.tiles * P.heads);
  let q0 = batch * P.q_batch + head * P.q_head;
  let k0 = batch * P.k_batch + head / P.group * P.k_head;
  let line0 = (batch * P.heads + head) * P.queries;
  let first = i32(P.keys) - i32(P.queries);
  let begin = u32(max(first + i32(row0) - P.behind, 0)) / ${columns}u * ${columns}u;
  let until = u32(clamp(first + i32(min(row0 + ${rows}u, P.queries)) + P.ahead, 0, i32(P.keys)));`;
}

/** Scales the scores of a tile of queries and hides what a row does not see. */
function masked(segmented: boolean, { mine, others, row, column }: Engine): string {
  return `${segmented ? each(others, (c) => `let other${c} = segment(batch, i32(col0 + ${column(c)}));`) : ""}
    ${each(
      mine,
      (r) =>
        each(
          others,
          (c) =>
            `s${r}_${c} = select(${MASKED}, s${r}_${c} * P.scale, sees(first + i32(row0 + ${row(r)}), i32(col0 + ${column(c)}))${segmented ? ` & (seg${r} == other${c})` : ""});`,
        ),
      "\n    ",
    )}`;
}

interface Common {
  readonly key: string;
  readonly segmented: boolean;
  readonly bindings: readonly Binding[];
  readonly params: readonly Param[];
  readonly declare: string;
  bind(name: string, view: View, access: Binding["access"]): Binding;
  reader(name: string, lines: "queries" | "keys"): string;
  writer(name: string): string;
}

/** Bindings, params and functions of all three kernels. Loads take four values at once where every operand lets them. */
function common(
  plan: AttentionPlan,
  attrs: AttentionAttrs,
  { q, k, v, segments }: Operands,
  all: readonly View[],
): Common {
  const vec = all.every(({ dtype, offset }) => dtype === "f32" && offset % 4 === 0);
  const unit = vec ? 4 : 1;
  const bind: Common["bind"] = (name, view, access) => ({ name, view, access, as: vec ? "vec4" : undefined });
  const at = (name: string) =>
    vec
      ? `${name}_at4(line + d)`
      : `vec4f(${[0, 1, 2, 3].map((e) => `${name}_at(line + d * 4u + ${e}u)`).join(", ")})`;
  const reader: Common["reader"] = (
    name,
    lines,
  ) => `fn ${name}_line(line: u32) -> u32 { return min(line, P.${lines} - 1u) * P.${lines === "queries" ? "q" : "k"}_row; }
fn ${name}_load(line: u32, d: u32) -> vec4f { return ${at(name)}; }`;
  return {
    key: (vec ? "4" : "1") + (segments === undefined ? "" : "s"),
    segmented: segments !== undefined,
    bind,
    reader,
    writer: (name) =>
      `fn ${name}_store(line: u32, d: u32, value: vec4f) { ${
        vec
          ? `${name}_put4(line + d, value);`
          : [0, 1, 2, 3].map((e) => `${name}_put(line + d * 4u + ${e}u, value[${e}]);`).join(" ")
      } }`,
    bindings: [
      bind("q", q, "read"),
      bind("k", k, "read"),
      bind("v", v, "read"),
      ...(segments === undefined ? [] : [{ name: "segments", view: segments, access: "read" as const }]),
    ],
    params: sizeParams(plan, attrs, unit),
    declare: `${reader("q", "queries")}
${reader("k", "keys")}
${reader("v", "keys")}
${visibility(segments !== undefined)}`,
  };
}

/** Params that every kernel of attention has, strides in loads of `unit` elements. */
export function sizeParams(plan: AttentionPlan, attrs: AttentionAttrs, unit: number): Param[] {
  return [
    ["queries", "u32", plan.queries],
    ["keys", "u32", () => attrs.keys],
    ["heads", "u32", plan.heads],
    ["group", "u32", plan.group],
    ["scale", "f32", attrs.scale],
    ["ahead", "i32", plan.ahead],
    ["behind", "i32", plan.behind],
    ["segments_row", "u32", plan.capacity],
    ["vectors", "u32", Math.ceil(plan.headDim / 4)],
    ...strideParams("q", plan.q, unit),
    ...strideParams("k", plan.k, unit),
  ];
}

/** The strides of an operand in loads of `unit` elements. */
export function strideParams(name: string, { batch, head, row }: Strides, unit: number): Param[] {
  return [
    [`${name}_batch`, "u32", batch / unit],
    [`${name}_head`, "u32", head / unit],
    [`${name}_row`, "u32", row / unit],
  ];
}

/** `sees(position, key)`, and `segment(batch, position)` where there are segments. */
export function visibility(segmented: boolean): string {
  return `fn sees(position: i32, key: i32) -> bool {
  // "&" and not "&&" for all of these conditions: a branch for each score takes SwiftShader minutes to compile.
  return (key <= min(position + P.ahead, i32(P.keys) - 1)) & (key >= position - P.behind);
}${
    segmented
      ? "\nfn segment(batch: u32, position: i32) -> i32 { return segments_at(batch * P.segments_row + u32(clamp(position, 0, i32(P.keys) - 1))); }"
      : ""
  }`;
}

function each(list: readonly number[], text: (i: number) => string, between = " "): string {
  return list.map(text).join(between);
}

function largest(values: readonly string[]): string {
  return values.reduce((a, b) => `max(${a}, ${b})`);
}
