import type { View } from "../../device/device.ts";
import { sizeOf } from "../../shape.ts";
import type { Binding, Param } from "../kernel.ts";
import { type Along, declareOperands, keyOf, type Operand, operandOf, range } from "./operand.ts";
import type { MatmulPlan } from "./plan.ts";
import type { Source } from "./reader.ts";

/** The size of the tiles of a kernel. */
export interface Form {
  readonly rows: number;
  readonly columns: number;
  /** Lanes of a subgroup, where the kernel uses its operations, else 0. */
  readonly lanes: number;
  /** Values are read one by one, by strides that are params, so that one code serves every layout. */
  readonly single?: boolean;
}

/**
 * What is around the tiles of a kernel: which matrices are multiplied, and where the sums go. The kernels of tiles are written
 * against it, in WGSL that finds these names declared: `tile_m` and `tile_n`, the number of the tile; `m` and `n`, the size of the
 * result; and within `sum` also `k`, `a_base`, `b_base`, `a_stride`, `b_stride` (see `startOf`).
 */
export interface Frame {
  readonly key: string;
  readonly bindings: readonly Binding[];
  readonly params: readonly Param[];
  /** Tiles in all. */
  readonly tiles: number;
  readonly alongA: Along;
  readonly alongB: Along;
  /** The functions of all operands. */
  declare(steps: boolean): string;
  readonly head: string;
  /** Statements for each product that is added up, which the frame repeats. They may declare what they like. */
  sum(product: (a: Operand, b: Operand) => string): string;
  /** Writes sums of one row, at columns `step` apart, where they are inside. */
  put(row: string, column: string, step: number, values: readonly string[]): string;
}

/**
 * One product, or a batch of them, in y. `swapped`: the plan's a and b have changed places, so its rows are y's columns.
 */
export function batchFrame(
  plan: MatmulPlan,
  a: Source,
  b: Source,
  y: View,
  form: Form,
  swapped = false,
): Frame {
  const { m, n, k, batch, batchStridesA, batchStridesB } = plan;
  const { rows, columns, lanes, single = false } = form;
  const [opA, opB] = operandsOf(plan, a, b, lanes, single);
  const wide = !single && !swapped && opB.along === "lines" && n % 4 === 0 && y.offset % 4 === 0;
  const tilesM = Math.ceil(m / rows);
  const tilesN = Math.ceil(n / columns);
  const strides: Param[] = single
    ? [
        ["a_row", "u32", plan.aRow],
        ["a_col", "u32", plan.aCol],
        ["b_row", "u32", plan.bRow],
        ["b_col", "u32", plan.bCol],
      ]
    : [
        ["a_stride", "u32", opA.along === "k" ? plan.aRow : plan.aCol],
        ["b_stride", "u32", opB.along === "k" ? plan.bCol : plan.bRow],
      ];
  const params: Param[] = [
    ["m", "u32", m],
    ["n", "u32", n],
    ["k", "u32", k],
    ...strides,
    ["tiles_m", "u32", tilesM],
    ["tiles_n", "u32", tilesN],
  ];
  // One axis also where there is none, so that both share a pipeline.
  const axes = range(Math.max(1, batch.length));
  for (const axis of axes)
    params.push(
      [`d${axis}`, "u32", batch[axis] ?? 1],
      [`sa${axis}`, "u32", batchStridesA[axis] ?? 0],
      [`sb${axis}`, "u32", batchStridesB[axis] ?? 0],
    );
  const readers = [opA.reader, opB.reader];
  params.push(...readers.flatMap((reader) => reader.params ?? []));
  const layout = single ? readers.map(({ key }) => key) : [keyOf(opA), keyOf(opB)];
  return {
    key: `${layout.join("")}${wide ? "w" : ""}${swapped ? "s" : ""}b${axes.length}`,
    bindings: [
      ...readers.flatMap(({ bindings }) => bindings),
      { name: "y", view: y, access: "write", as: wide ? "vec4" : undefined },
    ],
    params,
    tiles: tilesM * tilesN * sizeOf(batch),
    alongA: opA.along,
    alongB: opB.along,
    declare: (steps) =>
      single ? readers.map((reader) => reader.declare()).join("\n") : declareOperands([opA, opB], steps),
    // Rows of tiles vary fastest, so that a tile of weights stays in the cache.
    head: `${readers.map(({ setup = "" }) => setup).join("")}let m = P.m; let n = P.n; let k = P.k;
  ${strides.map(([name]) => `let ${name} = P.${name};`).join(" ")}
  let tile_m = group % P.tiles_m;
  let tile_n = (group / P.tiles_m) % P.tiles_n;
  let matrix = group / (P.tiles_m * P.tiles_n);
  var a_base = 0u; var b_base = 0u; var rest = matrix;
  ${axes
    .reverse()
    .map(
      (axis) =>
        `{ let c = rest % P.d${axis}; a_base += c * P.sa${axis}; b_base += c * P.sb${axis}; rest /= P.d${axis}; }`,
    )
    .join("\n  ")}
  let y_base = matrix * m * n;`,
    sum: (product) => product(opA, opB),
    put(row, column, step, values) {
      if (wide && step === 1 && values.length === 4)
        return `{ let c = ${column}; if (c < n) { y_put4((y_base + (${row}) * n + c) / 4u, vec4f(${values.join(", ")})); } }`;
      const at = swapped ? `y_base + c * m + ${row}` : `y_base + (${row}) * n + c`;
      return values
        .map((value, j) => `{ let c = ${column} + ${j * step}u; if (c < n) { y_put(${at}, ${value}); } }`)
        .join(" ");
    },
  };
}

function operandsOf(
  plan: MatmulPlan,
  a: Source,
  b: Source,
  lanes: number,
  single: boolean,
): [Operand, Operand] {
  const operand = (
    role: "a" | "b",
    source: Source,
    line: number,
    step: number,
    batches: readonly number[],
  ) => {
    const along = step === 1 ? "k" : "lines";
    const aligned = !single && [along === "k" ? line : step, ...batches].every((value) => value % 4 === 0);
    return operandOf(role, role, source, along, aligned, lanes);
  };
  return [
    operand("a", a, plan.aRow, plan.aCol, plan.batchStridesA),
    operand("b", b, plan.bCol, plan.bRow, plan.batchStridesB),
  ];
}
