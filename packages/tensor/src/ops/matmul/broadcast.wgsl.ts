import type { Kernel } from "../kernel.ts";
import type { Form, Frame } from "./frame.ts";
import { loadOf, type Operand, range, startOf } from "./operand.ts";
import { putRows } from "./putRows.ts";

/**
 * For adapters that run a subgroup as the lanes of one vector on a CPU: there a load costs one scalar load for each lane and
 * component, whether its address is uniform or not, and a broadcast of a constant lane is one shuffle. So both operands are
 * loaded spread over the lanes, four values each, and a is broadcast out of registers. One workgroup is one subgroup; a
 * lane holds `rows` × 4 sums. The lanes must be a multiple of 4.
 */
export function broadcastKernel(frame: Frame, { rows, lanes: size }: Form): Kernel {
  const step = frame.alongB === "k" ? size : 1;
  const first = frame.alongB === "k" ? "column + sub" : "column + sub * 4u";
  return {
    key: `broadcast${size}x${rows}${frame.key}`,
    over: "group",
    lanes: size,
    subgroups: true,
    count: frame.tiles,
    bindings: frame.bindings,
    params: frame.params,
    declare: () => frame.declare(true),
    main: () => `${frame.head}
  let row = tile_m * ${rows}u;
  let column = tile_n * ${4 * size}u;
  ${range(rows)
    .map((r) =>
      range(4)
        .map((j) => `var y${r}_${j} = 0f;`)
        .join(" "),
    )
    .join("\n  ")}
  ${frame.sum((a, b) => {
    const left = broadcastSide(a, rows, size);
    const right = laneSide(b, size);
    return `${left.starts}
  ${right.starts}
  for (var p = 0u; p < k; p += 4u) {
    ${left.loads}
    ${right.loads}
    ${range(rows)
      .map((r) =>
        left.use(r, (c, value) =>
          range(4)
            .map((j) => `y${r}_${j} = fma(${value}, ${right.value(c, j)}, y${r}_${j});`)
            .join(" "),
        ),
      )
      .join("\n    ")}
  }`;
  })}
  ${putRows(frame, rows, "row", first, step)}`,
  };
}

interface BroadcastSide {
  readonly starts: string;
  readonly loads: string;
  /** The statements for row r: `each` gets the four steps along k and the text of the row's value. */
  use(r: number, each: (c: number, value: string) => string): string;
}

function broadcastSide(operand: Operand, rows: number, size: number): BroadcastSide {
  const blocks = range(Math.ceil(rows / size));
  if (operand.along === "k") {
    // Only lanes that hold a row load: an idle lane costs nothing.
    const load = (i: number) =>
      rows < size
        ? `var a${i} = vec4f(); if (sub < ${rows}u) { a${i} = ${loadOf(operand, `a_from${i}`, "p")}; }`
        : `let a${i} = ${loadOf(operand, `a_from${i}`, "p")};`;
    return {
      starts: blocks
        .map((i) => `let a_from${i} = ${startOf(operand, `row + ${i * size}u + sub`)};`)
        .join(" "),
      loads: blocks.map(load).join(" "),
      use: (r, each) =>
        `{ let t = subgroupBroadcast(a${Math.floor(r / size)}, ${r % size}u); ${range(4)
          .map((c) => each(c, `t[${c}]`))
          .join(" ")} }`,
    };
  }
  // A load takes four steps of k by `size` rows: lane l has step l / quarter and the four rows from 4 (l % quarter) on.
  const quarter = size / 4;
  return {
    starts: `let a_step = sub / ${quarter}u; ${blocks
      .map((i) => `let a_from${i} = ${startOf(operand, `row + ${i * size}u + sub % ${quarter}u * 4u`)};`)
      .join(" ")}`,
    loads: blocks.map((i) => `let a${i} = ${loadOf(operand, `a_from${i}`, "p + a_step")};`).join(" "),
    use: (r, each) =>
      range(4)
        .map((c) => {
          const lane = c * quarter + Math.floor((r % size) / 4);
          const value = `subgroupBroadcast(a${Math.floor(r / size)}[${r % 4}], ${lane}u)`;
          return `{ let t = ${value}; ${each(c, "t")} }`;
        })
        .join(" "),
  };
}

interface LaneSide {
  readonly starts: string;
  readonly loads: string;
  /** The value of the lane's column j, 0 to 3, at step c. */
  value(c: number, j: number): string;
}

function laneSide(operand: Operand, size: number): LaneSide {
  if (operand.along === "k") {
    return {
      starts: range(4)
        .map((j) => `let b_from${j} = ${startOf(operand, `column + ${j * size}u + sub`)};`)
        .join(" "),
      loads: range(4)
        .map((j) => `let b${j} = ${loadOf(operand, `b_from${j}`, "p")};`)
        .join(" "),
      value: (c, j) => `b${j}[${c}]`,
    };
  }
  return {
    starts: `let b_from = ${startOf(operand, "column + sub * 4u")};`,
    loads: range(4)
      .map((c) => `let b${c} = ${loadOf(operand, "b_from", `p + ${c}u`)};`)
      .join(" "),
    value: (c, j) => `b${c}[${j}]`,
  };
}
