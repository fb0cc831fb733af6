import type { View } from "../../device/device.ts";
import { sizeOf } from "../../shape.ts";
import type { Kernel, Param } from "../kernel.ts";
import type { MatmulPlan } from "./plan.ts";
import { type Source, storedOf } from "./reader.ts";

/** Invocations of a workgroup as a square of SIDE × SIDE. */
const SIDE = 8;

/**
 * The plain version: one workgroup makes a tile of 8R × 8C values, each lane R × C of them in registers, operands read
 * straight from their buffers by strides, so that one kernel serves every layout. Rows and columns beyond the edge read
 * the last one and are not written.
 */
export function tiledKernel(plan: MatmulPlan, a: Source, b: Source, y: View): Kernel {
  const { m, n, k, batch, batchStridesA, batchStridesB } = plan;
  const rows = m >= 8 * SIDE ? 8 : m > 8 ? 4 : 1;
  const columns = n > 16 ? 4 : 1;
  const tilesM = Math.ceil(m / (SIDE * rows));
  const tilesN = Math.ceil(n / (SIDE * columns));
  const R = [...Array(rows).keys()];
  const C = [...Array(columns).keys()];
  const readers = [storedOf(a).read("a", false, 0), storedOf(b).read("b", false, 0)];
  const params: Param[] = [
    ["m", "u32", m],
    ["n", "u32", n],
    ["k", "u32", k],
    ["tiles_m", "u32", tilesM],
    ["tiles_n", "u32", tilesN],
    ["a_row", "u32", plan.aRow],
    ["a_col", "u32", plan.aCol],
    ["b_row", "u32", plan.bRow],
    ["b_col", "u32", plan.bCol],
  ];
  for (const [axis, dim] of batch.entries()) {
    params.push(
      [`d${axis}`, "u32", dim],
      [`sa${axis}`, "u32", batchStridesA[axis]],
      [`sb${axis}`, "u32", batchStridesB[axis]],
    );
  }
  for (const reader of readers) params.push(...(reader.params ?? []));
  return {
    key: `tiled${rows}x${columns}${readers.map(({ key }) => key).join("")}b${batch.length}`,
    over: "group",
    lanes: SIDE * SIDE,
    count: tilesM * tilesN * sizeOf(batch),
    bindings: [...readers.flatMap(({ bindings }) => bindings), { name: "y", view: y, access: "write" }],
    params,
    declare: () => readers.map((reader) => reader.declare()).join("\n"),
    main: () => `${readers.map(({ setup = "" }) => setup).join("")}let tile_m = group % P.tiles_m;
  let tile_n = (group / P.tiles_m) % P.tiles_n;
  let matrix = group / (P.tiles_m * P.tiles_n);
  var a0 = 0u; var b0 = 0u; var rest = matrix;
  ${batch
    .map((_, i) => batch.length - 1 - i)
    .map(
      (axis) =>
        `{ let c = rest % P.d${axis}; a0 += c * P.sa${axis}; b0 += c * P.sb${axis}; rest /= P.d${axis}; }`,
    )
    .join("\n  ")}
  let row = tile_m * ${SIDE * rows}u + lane / ${SIDE}u;
  let column = tile_n * ${SIDE * columns}u + lane % ${SIDE}u;
  ${R.map((r) => `var pa${r} = a0 + min(row + ${r * SIDE}u, P.m - 1u) * P.a_row;`).join(" ")}
  ${C.map((c) => `var pb${c} = b0 + min(column + ${c * SIDE}u, P.n - 1u) * P.b_col;`).join(" ")}
  ${R.map((r) => C.map((c) => `var y${r}_${c} = 0.0f;`).join(" ")).join(" ")}
  for (var p = 0u; p < P.k; p++) {
    ${C.map((c) => `let b${c} = b_at(pb${c}); pb${c} += P.b_row;`).join(" ")}
    ${R.map((r) => `{ let v = a_at(pa${r}); pa${r} += P.a_col; ${C.map((c) => `y${r}_${c} = fma(v, b${c}, y${r}_${c});`).join(" ")} }`).join("\n    ")}
  }
  let y0 = matrix * P.m * P.n;
  ${R.map((r) => `if (row + ${r * SIDE}u < P.m) { ${C.map((c) => `if (column + ${c * SIDE}u < P.n) { y_put(y0 + (row + ${r * SIDE}u) * P.n + column + ${c * SIDE}u, y${r}_${c}); }`).join(" ")} }`).join("\n  ")}`,
  };
}
