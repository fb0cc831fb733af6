import type { Kernel } from "../kernel.ts";
import type { Form, Frame } from "./frame.ts";
import { loadOf, range, startOf } from "./operand.ts";

const LANES = 64;
/** Columns that a workgroup makes. */
export const SPLIT_COLUMNS = 4;

/**
 * For few rows: a workgroup makes four columns of all rows, its lanes share k between them, and their sums are added in a
 * tree of fixed order. Both operands must lie along k.
 */
export function splitKernel(frame: Frame, { rows }: Form): Kernel {
  const R = range(rows);
  const C = range(SPLIT_COLUMNS);
  return {
    key: `split${rows}${frame.key}`,
    over: "group",
    lanes: LANES,
    count: frame.tiles,
    bindings: frame.bindings,
    params: frame.params,
    declare: () => `${frame.declare(false)}
var<workgroup> sums: array<vec4f, ${rows * LANES}>;`,
    main: () => `${frame.head}
  let first = tile_n * ${SPLIT_COLUMNS}u;
  ${R.map((r) => `var y${r} = vec4f();`).join(" ")}
  ${frame.sum(
    (a, b) => `${R.map((r) => `let a_from${r} = ${startOf(a, `tile_m + ${r}u`)};`).join(" ")}
  ${C.map((c) => `let b_from${c} = ${startOf(b, `first + ${c}u`)};`).join(" ")}
  for (var p = lane * 4u; p < k; p += ${LANES * 4}u) {
    ${C.map((c) => `let b${c} = ${loadOf(b, `b_from${c}`, "p")};`).join(" ")}
    ${R.map((r) => `{ let v = ${loadOf(a, `a_from${r}`, "p")}; y${r} += vec4f(${C.map((c) => `dot(v, b${c})`).join(", ")}); }`).join("\n    ")}
  }`,
  )}
  ${R.map((r) => `sums[${r * LANES}u + lane] = y${r};`).join(" ")}
  workgroupBarrier();
  for (var half = ${LANES / 2}u; half > 0u; half /= 2u) {
    if (lane < half) {
      for (var at = lane; at < ${rows * LANES}u; at += ${LANES}u) { sums[at] += sums[at + half]; }
    }
    workgroupBarrier();
  }
  let row = lane / ${SPLIT_COLUMNS}u;
  if (row < min(m, ${rows}u)) { ${frame.put("row", `first + lane % ${SPLIT_COLUMNS}u`, 1, [`sums[row * ${LANES}u][lane % ${SPLIT_COLUMNS}u]`])} }`,
  };
}
