import { type Engine, range } from "./engine.ts";

/**
 * For adapters that run a subgroup as the lanes of one vector on a CPU, as matmul's broadcast kernel: lines are loaded
 * spread over the lanes, and the rows are broadcast out of registers. One workgroup is one subgroup of `size` lanes; all lanes hold
 * all rows, a lane is one column of each block of scores, and four values of the head in each part.
 */
export function broadcastEngine(size: number, headDim: number, rows: number): Engine {
  const vectors = headDim / 4;
  const mine = range(rows);
  const others = [0];
  const parts = range(Math.ceil(vectors / size));
  const held = range(Math.ceil(rows / size));
  const column = (part: number) =>
    vectors % size === 0 ? `sub + ${part * size}u` : `min(sub + ${part * size}u, ${vectors - 1}u)`;
  return {
    key: `broadcast${size}x${rows}`,
    lanes: size,
    subgroups: true,
    rows,
    columns: size,
    mine,
    others,
    parts,
    row: (r) => `${r}u`,
    column: (c) => `${c * size}u + sub`,
    params: [],
    begin: "",
    declare: () => "",
    hold: ({ name, start, first }) =>
      held
        .map((i) => `let ${name}_held${i} = ${start} + ${name}_line(${first} + ${i * size}u + sub);`)
        .join(" "),
    product: (
      s,
      a,
      b,
    ) => `${mine.map((r) => others.map((c) => `var ${s}${r}_${c} = 0f;`).join(" ")).join(" ")}
    {
      ${others.map((c) => `let from${c} = ${b.start} + ${b.name}_line(${b.first} + ${c * size}u + sub);`).join(" ")}
      for (var d = 0u; d < P.vectors; d++) {
        ${held.map((i) => `let a${i} = ${a.name}_load(${a.name}_held${i}, d);`).join(" ")}
        ${others.map((c) => `let b${c} = ${b.name}_load(from${c}, d);`).join(" ")}
        ${mine
          .map(
            (r) =>
              `{ let t = subgroupBroadcast(a${Math.floor(r / size)}, ${r % size}u); ${range(4)
                .map((e) =>
                  others.map((c) => `${s}${r}_${c} = fma(t[${e}], b${c}[${e}], ${s}${r}_${c});`).join(" "),
                )
                .join(" ")} }`,
          )
          .join("\n        ")}
      }
    }`,
    // A loop, with the lane as its variable: unrolled it takes three times as long, and its compilation too.
    accumulate: (y, s, b) => `for (var t = 0u; t < ${size}u; t++) {
      let begin = ${b.start} + ${b.name}_line(${b.first} + t);
      ${parts.map((p) => `let v${p} = ${b.name}_load(begin, ${column(p)});`).join(" ")}
      ${mine
        .map(
          (r) =>
            `{ let w = vec4f(subgroupShuffle(${s}${r}_0, t)); ${parts
              .map((p) => `${y}${r}_${p} = fma(w, v${p}, ${y}${r}_${p});`)
              .join(" ")} }`,
        )
        .join("\n      ")}
    }`,
    forRows: (x, value) =>
      `${held.map((i) => `let ${x}_held${i} = ${value(`${i * size}u + sub`)};`).join(" ")}
  ${mine.map((r) => `let ${x}${r} = subgroupBroadcast(${x}_held${Math.floor(r / size)}, ${r % size}u);`).join(" ")}`,
    eachRow: (statements) =>
      held
        .map((i) => {
          const inside = (i + 1) * size > rows ? `if (sub < ${rows - i * size}u) ` : "";
          return `${inside}{ let row = ${i * size}u + sub; ${statements} }`;
        })
        .join(" "),
    fold: (kind, x, own) =>
      mine
        .map((r) => `let ${x}${r} = ${kind === "max" ? "subgroupMax" : "subgroupAdd"}(${own(r)});`)
        .join(" "),
    store: (y, put) =>
      mine
        .map((r) =>
          parts
            .map((p) => {
              const text = put(r, `sub + ${p * size}u`, `${y}${r}_${p}`);
              return (p + 1) * size > vectors ? `if (sub + ${p * size}u < ${vectors}u) { ${text} }` : text;
            })
            .join(" "),
        )
        .join("\n  "),
    writes: (r) => `sub == ${r % size}u`,
  };
}
