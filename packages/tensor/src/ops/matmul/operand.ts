import type { View } from "../../device/device.ts";
import type { Binding } from "../kernel.ts";
import type { MatmulPlan } from "./plan.ts";

/**
 * An operand as tile kernels read it: always four values at once. Its lines are the rows of a or the columns of b. Where
 * the values of a line lie side by side, four of k are loaded, else four lines. One load where the alignment lets it be a
 * vec4, else four through the accessor, which also widens f16 and bf16.
 */
export interface Operand {
  readonly name: "a" | "b";
  readonly along: "k" | "lines";
  readonly vec: boolean;
  readonly binding: Binding;
  readonly lines: number;
  /** The stride that is not 1, and those of the batch axes, in loads' units. */
  readonly stride: number;
  readonly batchStrides: readonly number[];
}

/** Both operands of a product. */
export function operandsOf(plan: MatmulPlan, a: View, b: View): [Operand, Operand] {
  return [
    operand("a", a, plan.m, plan.aRow, plan.aCol, plan.batchStridesA),
    operand("b", b, plan.n, plan.bCol, plan.bRow, plan.batchStridesB),
  ];
}

function operand(
  name: "a" | "b",
  view: View,
  lines: number,
  perLine: number,
  perK: number,
  batchStrides: readonly number[],
): Operand {
  const along = perK === 1 ? "k" : "lines";
  const stride = along === "k" ? perLine : perK;
  const vec =
    view.dtype === "f32" && [view.offset, stride, ...batchStrides].every((value) => value % 4 === 0);
  const unit = vec ? 4 : 1;
  return {
    name,
    along,
    vec,
    binding: { name, view, access: "read", as: vec ? "vec4" : undefined },
    lines,
    stride: stride / unit,
    batchStrides: batchStrides.map((value) => value / unit),
  };
}

/** Names what changes the code that reads an operand. */
export const keyOf = ({ along, vec }: Operand): string => along[0] + (vec ? "4" : "1");

/** Whether a step of four along k may reach beyond the last: not where a vec4 of k proves that k is a multiple of 4. */
export const isRagged = (operands: readonly Operand[]): boolean =>
  !operands.some(({ along, vec }) => along === "k" && vec);

/**
 * `x_start(line)`: where the reads of a line begin (of the four lines from it on, where those are loaded together).
 * Beyond the last line it is the last's. `x_load(start, p)`: four values from p on along k, or four lines at p. Beyond the end of k
 * every value is 0 where `ragged`.
 */
export function declareOperand({ name, along, vec }: Operand, ragged: boolean): string {
  const limit = name === "a" ? "P.m" : "P.n";
  // Reads beyond the end of k stay inside and are replaced.
  const inside = (p: string) => (ragged ? `min(${p}, P.k - 1u)` : p);
  const orZero = (value: string, p: string, zero: string) =>
    ragged ? `select(${zero}, ${value}, ${p} < P.k)` : value;
  if (along === "k") {
    const each = [0, 1, 2, 3].map((c) =>
      orZero(`${name}_at(start + ${inside(`p + ${c}u`)})`, `p + ${c}u`, "0f"),
    );
    const load = vec
      ? orZero(`${name}_at4(start + ${inside("p")} / 4u)`, "p", "vec4f()")
      : `vec4f(${each.join(", ")})`;
    return `fn ${name}_start(line: u32) -> u32 { return min(line, ${limit} - 1u) * P.${name}_stride; }
fn ${name}_load(start: u32, p: u32) -> vec4f { return ${load}; }`;
  }
  const load = vec
    ? `${name}_at4(at)`
    : `vec4f(${[0, 1, 2, 3].map((c) => `${name}_at(at + ${c}u)`).join(", ")})`;
  return `fn ${name}_start(line: u32) -> u32 { return min(line, (${limit} - 1u) & ~3u)${vec ? " / 4u" : ""}; }
fn ${name}_load(start: u32, p: u32) -> vec4f { let at = start + ${inside("p")} * P.${name}_stride; return ${orZero(load, "p", "vec4f()")}; }`;
}

type Param = readonly [string, "u32", number];

/** Params of sizes, strides and batch axes that all tile kernels share. */
export function productParams(plan: MatmulPlan, operands: readonly Operand[]): Param[] {
  const params: Param[] = [
    ["m", "u32", plan.m],
    ["n", "u32", plan.n],
    ["k", "u32", plan.k],
  ];
  for (const { name, stride } of operands) params.push([`${name}_stride`, "u32", stride]);
  for (const axis of range(batchAxes(plan))) {
    params.push([`d${axis}`, "u32", plan.batch[axis] ?? 1]);
    for (const { name, batchStrides } of operands)
      params.push([`s${name}${axis}`, "u32", batchStrides[axis] ?? 0]);
  }
  return params;
}

/** Batch axes in the code: one also where there are none, so that both share a pipeline. */
export const batchAxes = ({ batch }: MatmulPlan): number => Math.max(1, batch.length);

/** Declares a0 and b0, where the operands of the batch's matrix number `matrix` begin. */
export function batchStart(plan: MatmulPlan): string {
  const axes = range(batchAxes(plan)).reverse();
  return `var a0 = 0u; var b0 = 0u; var rest = matrix;
  ${axes.map((axis) => `{ let c = rest % P.d${axis}; a0 += c * P.sa${axis}; b0 += c * P.sb${axis}; rest /= P.d${axis}; }`).join("\n  ")}`;
}

/** Declares the tile of this workgroup and its matrix; rows of tiles vary fastest, so that a tile of weights stays in the cache. */
export const tileOfGroup = `let tile_m = group % P.tiles_m;
  let tile_n = (group / P.tiles_m) % P.tiles_n;
  let matrix = group / (P.tiles_m * P.tiles_n);`;

export const range = (count: number): number[] => [...Array(count).keys()];
