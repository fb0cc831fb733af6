import type { View } from "../../device/device.ts";
import { sizeOf } from "../../shape.ts";
import type { Kernel } from "../kernel.ts";
import {
  batchAxes,
  batchStart,
  declareOperand,
  keyOf,
  loadOf,
  type Operand,
  operandsOf,
  productParams,
  range,
  startOf,
  tileOfGroup,
} from "./operand.ts";
import type { MatmulPlan } from "./plan.ts";
import type { Source } from "./reader.ts";

/** Steps of k that are staged at once. */
const DEPTH = 16;
/** Where fewer large tiles than this would leave a GPU idle, four times as many small ones are made. */
const FEW_TILES = 64;

/**
 * For GPUs: tiles of 4·side × 4·side through memory of the workgroup, side² lanes with 4 × 4 sums each. Operands keep their
 * orientation when they are staged, as vec4s; in both, 8 loads from shared memory serve 64 multiplications. At most 256 lanes and 10 KB.
 */
export function workgroupKernel(plan: MatmulPlan, a: Source, b: Source, y: View): Kernel {
  const { m, n } = plan;
  const matrices = sizeOf(plan.batch);
  const side = Math.ceil(m / 64) * Math.ceil(n / 64) * matrices < FEW_TILES ? 8 : 16;
  const tile = 4 * side;
  const operands = operandsOf(plan, a, b);
  const [opA, opB] = operands;
  const tilesM = Math.ceil(m / tile);
  const tilesN = Math.ceil(n / tile);
  const left = staged(opA, side, "tile_m", "ty");
  const right = staged(opB, side, "tile_n", "tx");
  return {
    key: `workgroup${side}${keyOf(opA)}${keyOf(opB)}b${batchAxes(plan)}`,
    over: "group",
    lanes: side * side,
    count: tilesM * tilesN * matrices,
    bindings: [...opA.reader.bindings, ...opB.reader.bindings, { name: "y", view: y, access: "write" }],
    params: [...productParams(plan, operands), ["tiles_m", "u32", tilesM], ["tiles_n", "u32", tilesN]],
    declare: () =>
      [...operands.map((operand) => declareOperand(operand, true)), left.memory, right.memory].join("\n"),
    main: () => `${tileOfGroup}
  ${batchStart(plan, operands)}
  let ty = lane / ${side}u;
  let tx = lane % ${side}u;
  ${range(4)
    .map((r) =>
      range(4)
        .map((c) => `var y${r}_${c} = 0f;`)
        .join(" "),
    )
    .join(" ")}
  ${left.starts}
  ${right.starts}
  for (var p = 0u; p < P.k; p += ${DEPTH}u) {
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
  }
  let y0 = matrix * P.m * P.n;
  ${range(4)
    .map(
      (r) =>
        `{ let row = ${left.line(r)}; if (row < P.m) { ${range(4)
          .map(
            (c) =>
              `{ let column = ${right.line(c)}; if (column < P.n) { y_put(y0 + row * P.n + column, y${r}_${c}); } }`,
          )
          .join(" ")} } }`,
    )
    .join("\n  ")}`,
  };
}

interface Staged {
  readonly memory: string;
  readonly starts: string;
  readonly stage: string;
  readonly loads: string;
  /** The value of the lane's line i, 0 to 3, at step kk of the four that `loads` took. */
  value(i: number, kk: number): string;
  /** The number of the lane's line i. */
  line(i: number): string;
}

// A row in shared memory is one vec4 longer than its contents, so that neighbouring rows begin in other banks.
function staged(operand: Operand, side: number, tile: string, mine: string): Staged {
  const { name, along } = operand;
  const slots = range(DEPTH / side);
  const perRow = along === "k" ? DEPTH / 4 : side;
  const rows = along === "k" ? 4 * side : DEPTH;
  const slot = (s: number) => `(lane + ${s * side * side}u)`;
  const first = `${tile} * ${4 * side}u`;
  const memory = `var<workgroup> ${name}_tile: array<vec4f, ${rows * (perRow + 1)}>;`;
  const put = (s: number, value: string) =>
    `${name}_tile[${slot(s)} / ${perRow}u * ${perRow + 1}u + ${slot(s)} % ${perRow}u] = ${value};`;
  const start = (s: number, line: string) =>
    `let ${name}_from${s} = ${startOf(operand, `${first} + ${line}`)};`;
  if (along === "k") {
    // Lines of b are spread, so that the lanes of a row of the tile read neighbouring ones.
    const line = (i: number) => (name === "b" ? `${mine} + ${i * side}u` : `${mine} * 4u + ${i}u`);
    return {
      memory,
      starts: slots.map((s) => start(s, `${slot(s)} / ${perRow}u`)).join(" "),
      stage: slots
        .map((s) => put(s, loadOf(operand, `${name}_from${s}`, `p + ${slot(s)} % ${perRow}u * 4u`)))
        .join(" "),
      loads: range(4)
        .map((i) => `let ${name}${i + 1} = ${name}_tile[(${line(i)}) * ${perRow + 1}u + q];`)
        .join(" "),
      value: (i, kk) => `${name}${i + 1}[${kk}]`,
      line: (i) => `${first} + ${line(i)}`,
    };
  }
  return {
    memory,
    starts: slots.map((s) => start(s, `${slot(s)} % ${perRow}u * 4u`)).join(" "),
    stage: slots
      .map((s) => put(s, loadOf(operand, `${name}_from${s}`, `p + ${slot(s)} / ${perRow}u`)))
      .join(" "),
    loads: range(4)
      .map((kk) => `let ${name}${kk + 1} = ${name}_tile[(q * 4u + ${kk}u) * ${perRow + 1}u + ${mine}];`)
      .join(" "),
    value: (i, kk) => `${name}${kk + 1}[${i}]`,
    line: (i) => `${first} + ${mine} * 4u + ${i}u`,
  };
}
