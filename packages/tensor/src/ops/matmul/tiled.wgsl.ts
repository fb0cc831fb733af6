import type { Kernel } from "../kernel.ts";
import type { Form, Frame } from "./frame.ts";
import { type Operand, range } from "./operand.ts";

/** Invocations of a workgroup as a square of PLAIN_SIDE × PLAIN_SIDE. */
export const PLAIN_SIDE = 8;

/**
 * The plain version: one workgroup makes a tile of 8R × 8C values, each lane R × C of them in registers, operands read
 * straight from their buffers by strides, so that one kernel serves every layout. Rows and columns beyond the edge read
 * the last one and are not written.
 */
export function tiledKernel(frame: Frame, form: Form): Kernel {
  const R = range(form.rows / PLAIN_SIDE);
  const C = range(form.columns / PLAIN_SIDE);
  return {
    key: `tiled${R.length}x${C.length}${frame.key}`,
    over: "group",
    lanes: PLAIN_SIDE * PLAIN_SIDE,
    count: frame.tiles,
    bindings: frame.bindings,
    params: frame.params,
    declare: () => frame.declare(false),
    main: () => `${frame.head}
  let row = tile_m * ${form.rows}u + lane / ${PLAIN_SIDE}u;
  let column = tile_n * ${form.columns}u + lane % ${PLAIN_SIDE}u;
  ${R.map((r) => C.map((c) => `var y${r}_${c} = 0.0f;`).join(" ")).join(" ")}
  ${frame.sum(
    (a, b) => `${lines(a, "row", "m", "a_row", R)}
  ${lines(b, "column", "n", "b_col", C)}
  for (var p = 0u; p < k; p++) {
    ${C.map((c) => `let b${c} = ${b.name}_at(pb${c}); pb${c} += b_row;`).join(" ")}
    ${R.map((r) => `{ let v = ${a.name}_at(pa${r}); pa${r} += a_col; ${C.map((c) => `y${r}_${c} = fma(v, b${c}, y${r}_${c});`).join(" ")} }`).join("\n    ")}
  }`,
  )}
  ${R.map(
    (r) =>
      `if (row + ${r * PLAIN_SIDE}u < m) { ${frame.put(
        `row + ${r * PLAIN_SIDE}u`,
        "column",
        PLAIN_SIDE,
        C.map((c) => `y${r}_${c}`),
      )} }`,
  ).join("\n  ")}`,
  };
}

const lines = ({ role }: Operand, first: string, limit: string, stride: string, each: readonly number[]) =>
  each
    .map(
      (i) =>
        `var p${role}${i} = ${role}_base + min(${first} + ${i * PLAIN_SIDE}u, ${limit} - 1u) * ${stride};`,
    )
    .join(" ");
