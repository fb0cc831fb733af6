import type { View } from "../../device/device.ts";
import { sizeOf } from "../../shape.ts";
import type { Kernel } from "../kernel.ts";
import {
  batchAxes,
  batchStart,
  declareOperand,
  keyOf,
  loadOf,
  operandsOf,
  productParams,
  range,
  startOf,
  tileOfGroup,
} from "./operand.ts";
import type { MatmulPlan } from "./plan.ts";
import type { Source } from "./reader.ts";

const LANES = 64;
const COLUMNS = 4;

/** Whether the kernel can take a product: few rows, and both operands lie along k, as in y = x·Wᵀ of one token. */
export const isSplittable = ({ m, aCol, bRow }: MatmulPlan): boolean => m <= 8 && aCol === 1 && bRow === 1;

/**
 * For few rows: a workgroup makes four columns of all rows, its lanes share k between them, and their sums are added in a
 * tree of fixed order.
 */
export function splitKernel(plan: MatmulPlan, a: Source, b: Source, y: View): Kernel {
  const rows = plan.m <= 1 ? 1 : plan.m <= 2 ? 2 : plan.m <= 4 ? 4 : 8;
  const operands = operandsOf(plan, a, b);
  const [opA, opB] = operands;
  const tilesN = Math.ceil(plan.n / COLUMNS);
  const R = range(rows);
  const C = range(COLUMNS);
  return {
    key: `split${rows}${operands.map(keyOf).join("")}b${batchAxes(plan)}`,
    over: "group",
    lanes: LANES,
    count: tilesN * sizeOf(plan.batch),
    bindings: [...opA.reader.bindings, ...opB.reader.bindings, { name: "y", view: y, access: "write" }],
    params: [...productParams(plan, operands), ["tiles_m", "u32", 1], ["tiles_n", "u32", tilesN]],
    declare: () => `${operands.map((operand) => declareOperand(operand, true)).join("\n")}
var<workgroup> sums: array<vec4f, ${rows * LANES}>;`,
    main: () => `${tileOfGroup}
  ${batchStart(plan, operands)}
  let column = tile_n * ${COLUMNS}u;
  ${R.map((r) => `let a_from${r} = ${startOf(opA, `tile_m + ${r}u`)};`).join(" ")}
  ${C.map((c) => `let b_from${c} = ${startOf(opB, `column + ${c}u`)};`).join(" ")}
  ${R.map((r) => `var y${r} = vec4f();`).join(" ")}
  for (var p = lane * 4u; p < P.k; p += ${LANES * 4}u) {
    ${C.map((c) => `let b${c + 1} = ${loadOf(opB, `b_from${c}`, "p")};`).join(" ")}
    ${R.map((r) => `{ let v = ${loadOf(opA, `a_from${r}`, "p")}; y${r} += vec4f(${C.map((c) => `dot(v, b${c + 1})`).join(", ")}); }`).join("\n    ")}
  }
  ${R.map((r) => `sums[${r * LANES}u + lane] = y${r};`).join(" ")}
  workgroupBarrier();
  for (var half = ${LANES / 2}u; half > 0u; half /= 2u) {
    if (lane < half) {
      for (var at = lane; at < ${rows * LANES}u; at += ${LANES}u) { sums[at] += sums[at + half]; }
    }
    workgroupBarrier();
  }
  let row = lane / ${COLUMNS}u;
  let mine = column + lane % ${COLUMNS}u;
  if (row < P.m && mine < P.n) {
    y_put(matrix * P.m * P.n + row * P.n + mine, sums[row * ${LANES}u][lane % ${COLUMNS}u]);
  }`,
  };
}
