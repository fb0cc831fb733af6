import type { Kernel } from "../kernel.ts";
import type { Form, Frame } from "./frame.ts";
import { type Along, loadOf, type Operand, range, startOf } from "./operand.ts";
import { putRows } from "./putRows.ts";

/** Steps of k that are staged at once. */
const DEPTH = 16;

/**
 * For GPUs: tiles of 4·side × 4·side through memory of the workgroup, side² lanes with 4 × 4 sums each. Operands keep their
 * orientation when they are staged, as vec4s; in both, 8 loads from shared memory serve 64 multiplications. At most 256 lanes and 10 KB.
 */
export function workgroupKernel(frame: Frame, form: Form): Kernel {
  const side = form.rows / 4;
  const { alongA, alongB } = frame;
  return {
    key: `workgroup${side}${frame.key}`,
    over: "group",
    lanes: side * side,
    count: frame.tiles,
    bindings: frame.bindings,
    params: frame.params,
    declare: () =>
      [frame.declare(false), memoryOf("a", alongA, side), memoryOf("b", alongB, side)].join("\n"),
    main: () => `${frame.head}
  let ty = lane / ${side}u;
  let tx = lane % ${side}u;
  ${range(4)
    .map((r) =>
      range(4)
        .map((c) => `var y${r}_${c} = 0f;`)
        .join(" "),
    )
    .join(" ")}
  ${frame.sum((a, b) => {
    const left = staged(a, side);
    const right = staged(b, side);
    return `${left.starts}
  ${right.starts}
  for (var p = 0u; p < k; p += ${DEPTH}u) {
    ${left.stage}
    ${right.stage}
    workgroupBarrier();
    for (var q = 0u; q < ${DEPTH / 4}u; q++) {
      ${left.loads}
      ${right.loads}
      ${range(4)
        .map((kk) =>
          range(4)
            .map((r) =>
              range(4)
                .map((c) => `y${r}_${c} = fma(${left.value(r, kk)}, ${right.value(c, kk)}, y${r}_${c});`)
                .join(" "),
            )
            .join(" "),
        )
        .join("\n      ")}
    }
    workgroupBarrier();
  }`;
  })}
  ${putRows(frame, 4, lineOf("a", alongA, side)(0), lineOf("b", alongB, side)(0), alongB === "k" ? side : 1)}`,
  };
}

/** Where the values of an operand lie in memory: rows of vec4s along what it lies along. */
function sizesOf(along: Along, side: number): { rows: number; perRow: number } {
  return along === "k" ? { rows: 4 * side, perRow: DEPTH / 4 } : { rows: DEPTH, perRow: side };
}

// A row in shared memory is one vec4 longer than its contents, so that neighbouring rows begin in other banks.
function memoryOf(role: "a" | "b", along: Along, side: number): string {
  const { rows, perRow } = sizesOf(along, side);
  return `var<workgroup> ${role}_tile: array<vec4f, ${rows * (perRow + 1)}>;`;
}

/** The line of the whole operand that is the lane's line i, 0 to 3. */
function lineOf(role: "a" | "b", along: Along, side: number): (i: number) => string {
  return (i) => `${firstOf(role, side)} + ${inTile(role, along, side, i)}`;
}

const firstOf = (role: "a" | "b", side: number) => `${role === "a" ? "tile_m" : "tile_n"} * ${4 * side}u`;

function inTile(role: "a" | "b", along: Along, side: number, i: number): string {
  const mine = role === "a" ? "ty" : "tx";
  // Lines of b along k are spread, so that the lanes of a row of the tile read neighbouring ones.
  return along === "k" && role === "b" ? `${mine} + ${i * side}u` : `${mine} * 4u + ${i}u`;
}

interface Staged {
  readonly starts: string;
  readonly stage: string;
  readonly loads: string;
  /** The value of the lane's line i, 0 to 3, at step kk of the four that `loads` took. */
  value(i: number, kk: number): string;
}

function staged(operand: Operand, side: number): Staged {
  const { role, along } = operand;
  const slots = range(DEPTH / side);
  const { perRow } = sizesOf(along, side);
  const slot = (s: number) => `(lane + ${s * side * side}u)`;
  const first = firstOf(role, side);
  const put = (s: number, value: string) =>
    `${role}_tile[${slot(s)} / ${perRow}u * ${perRow + 1}u + ${slot(s)} % ${perRow}u] = ${value};`;
  const start = (s: number, line: string) =>
    `let ${role}_from${s} = ${startOf(operand, `${first} + ${line}`)};`;
  if (along === "k") {
    return {
      starts: slots.map((s) => start(s, `${slot(s)} / ${perRow}u`)).join(" "),
      stage: slots
        .map((s) => put(s, loadOf(operand, `${role}_from${s}`, `p + ${slot(s)} % ${perRow}u * 4u`)))
        .join(" "),
      loads: range(4)
        .map((i) => `let ${role}${i} = ${role}_tile[(${inTile(role, along, side, i)}) * ${perRow + 1}u + q];`)
        .join(" "),
      value: (i, kk) => `${role}${i}[${kk}]`,
    };
  }
  const mine = role === "a" ? "ty" : "tx";
  return {
    starts: slots.map((s) => start(s, `${slot(s)} % ${perRow}u * 4u`)).join(" "),
    stage: slots
      .map((s) => put(s, loadOf(operand, `${role}_from${s}`, `p + ${slot(s)} / ${perRow}u`)))
      .join(" "),
    loads: range(4)
      .map((kk) => `let ${role}${kk} = ${role}_tile[(q * 4u + ${kk}u) * ${perRow + 1}u + ${mine}];`)
      .join(" "),
    value: (i, kk) => `${role}${kk}[${i}]`,
  };
}
