import { type Engine, type Lines, range } from "./engine.ts";

/** The workgroup is a square of SIDE × SIDE lanes with 4 × 4 scores each; four vec4s of the head are staged at once. */
const SIDE = 8;
const TILE = 4 * SIDE;
const DEPTH = 4;
const LANES = SIDE * SIDE;

/**
 * For GPUs: tiles of 32 × 32 scores through memory of the workgroup, as matmul's workgroup kernel. Any head size takes the
 * same 13.5 KiB: both sides are staged in pieces of 16 values along the head, what is accumulated in pieces of 32.
 */
export function workgroupEngine(headDim: number): Engine {
  const vectors = headDim / 4;
  const four = range(4);
  const parts = range(Math.ceil(vectors / SIDE));
  const even = (count: number, per: number) => count % per === 0;
  // Lines of the other side lie so that the lanes of a row, which read every fourth, find them in different banks.
  const place = (side: "a" | "b", line: string) =>
    side === "a" ? `(${line}) * ${DEPTH + 1}u` : `(${line} % 4u * ${SIDE}u + ${line} / 4u) * ${DEPTH + 1}u`;
  const stage = (side: "a" | "b", { name, start, first }: Lines) => {
    const at = `d + i % ${DEPTH}u`;
    const load = (d: string) => `${name}_load(${start} + ${name}_line(${first} + line), ${d})`;
    const value = even(vectors, DEPTH)
      ? load(at)
      : `select(vec4f(), ${load(`min(${at}, P.vectors - 1u)`)}, ${at} < P.vectors)`;
    return `for (var i = lane; i < P.staged; i += ${LANES}u) { let line = i / ${DEPTH}u; ${side}_tile[${place(side, "line")} + i % ${DEPTH}u] = ${value}; }`;
  };
  return {
    key: "workgroup",
    lanes: LANES,
    subgroups: false,
    rows: TILE,
    columns: TILE,
    mine: four,
    others: four,
    parts,
    row: (r) => `ty * 4u + ${r}u`,
    column: (c) => `tx * 4u + ${c}u`,
    declare: () => `var<workgroup> a_tile: array<vec4f, ${TILE * (DEPTH + 1)}>;
var<workgroup> b_tile: array<vec4f, ${TILE * (DEPTH + 1)}>;
var<workgroup> w_tile: array<vec4f, ${TILE * (SIDE + 1)}>;
var<workgroup> v_tile: array<vec4f, ${TILE * SIDE}>;`,
    // Bounds of loops, so that lavapipe does not unroll them: it would compile for a minute.
    params: [
      ["side", "u32", SIDE],
      ["depth", "u32", DEPTH],
      ["staged", "u32", TILE * DEPTH],
      ["taken", "u32", TILE * SIDE],
    ],
    begin: "let ty = lane / 8u; let tx = lane % 8u;",
    hold: () => "",
    product: (s, a, b) => `${four.map((r) => four.map((c) => `var ${s}${r}_${c} = 0f;`).join(" ")).join(" ")}
    for (var d = 0u; d < P.vectors; d += ${DEPTH}u) {
      ${stage("a", a)}
      ${stage("b", b)}
      workgroupBarrier();
      for (var e = 0u; e < P.depth; e++) {
        ${four.map((r) => `let a${r} = a_tile[${place("a", `ty * 4u + ${r}u`)} + e];`).join(" ")}
        ${four.map((c) => `let b${c} = b_tile[(${c * SIDE}u + tx) * ${DEPTH + 1}u + e];`).join(" ")}
        ${four.map((r) => four.map((c) => `${s}${r}_${c} += dot(a${r}, b${c});`).join(" ")).join("\n        ")}
      }
      workgroupBarrier();
    }`,
    accumulate: (y, s, b) => `${four
      .map(
        (r) =>
          `w_tile[(ty * 4u + ${r}u) * ${SIDE + 1}u + tx] = vec4f(${four.map((c) => `${s}${r}_${c}`).join(", ")});`,
      )
      .join(" ")}
    ${parts
      .map((p) => {
        const column = `${p * SIDE}u + i % ${SIDE}u`;
        const inside = (p + 1) * SIDE <= vectors ? column : `min(${column}, P.vectors - 1u)`;
        return `for (var i = lane; i < P.taken; i += ${LANES}u) { v_tile[i] = ${b.name}_load(${b.start} + ${b.name}_line(${b.first} + i / ${SIDE}u), ${inside}); }
    workgroupBarrier();
    for (var e = 0u; e < P.side; e++) {
      ${four.map((r) => `let w${r} = w_tile[(ty * 4u + ${r}u) * ${SIDE + 1}u + e];`).join(" ")}
      ${four.map((c) => `let v${c} = v_tile[(e * 4u + ${c}u) * ${SIDE}u + tx];`).join(" ")}
      ${four
        .map((r) =>
          four.map((c) => `${y}${r}_${p} = fma(vec4f(w${r}[${c}]), v${c}, ${y}${r}_${p});`).join(" "),
        )
        .join("\n      ")}
    }
    workgroupBarrier();`;
      })
      .join("\n    ")}`,
    forRows: (x, value) => four.map((r) => `let ${x}${r} = ${value(`ty * 4u + ${r}u`)};`).join(" "),
    eachRow: (statements) => `if (lane < ${TILE}u) { let row = lane; ${statements} }`,
    fold: (kind, x, own) => {
      const combine = (a: string, b: string) => (kind === "max" ? `max(${a}, ${b})` : `${a} + ${b}`);
      // The four rows of a lane are one vec4, since they are folded alike.
      const values = range(SIDE).map((i) => `w_tile[ty * ${SIDE + 1}u + ${i}u]`);
      return `w_tile[ty * ${SIDE + 1}u + tx] = vec4f(${four.map(own).join(", ")});
    workgroupBarrier();
    let ${x}_all = ${values.reduce(combine)};
    workgroupBarrier();
    ${four.map((r) => `let ${x}${r} = ${x}_all[${r}];`).join(" ")}`;
    },
    store: (y, put) =>
      four
        .map((r) =>
          parts
            .map((p) => {
              const text = put(r, `tx + ${p * SIDE}u`, `${y}${r}_${p}`);
              return (p + 1) * SIDE > vectors ? `if (tx + ${p * SIDE}u < ${vectors}u) { ${text} }` : text;
            })
            .join(" "),
        )
        .join("\n  "),
    writes: () => "tx == 0u",
  };
}
