import type { Param } from "../kernel.ts";
import type { MatmulPlan } from "./plan.ts";
import { type Reader, type Source, storedOf } from "./reader.ts";

/**
 * An operand as tile kernels read it: always four values at once. Its lines are the rows of a or the columns of b. Where
 * the values of a line lie side by side, four of k are loaded, else four lines.
 */
export interface Operand {
  readonly name: string;
  readonly along: "k" | "lines";
  readonly reader: Reader;
  /** The size that bounds its lines: m for a, n for b. */
  readonly limit: "m" | "n";
  /** The stride that is not 1, and those of the batch axes, in values. */
  readonly stride: number;
  readonly batchStrides: readonly number[];
}

/** Both operands of a product. `lanes`: those of a subgroup, where the kernel uses its operations. */
export function operandsOf(plan: MatmulPlan, a: Source, b: Source, lanes = 0): [Operand, Operand] {
  return [
    operand("a", "m", a, plan.aRow, plan.aCol, plan.batchStridesA, lanes),
    operand("b", "n", b, plan.bCol, plan.bRow, plan.batchStridesB, lanes),
  ];
}

function operand(
  name: string,
  limit: "m" | "n",
  source: Source,
  perLine: number,
  perK: number,
  batchStrides: readonly number[],
  lanes: number,
): Operand {
  const along = perK === 1 ? "k" : "lines";
  const stride = along === "k" ? perLine : perK;
  const aligned = [stride, ...batchStrides].every((value) => value % 4 === 0);
  return { name, along, reader: storedOf(source).read(name, aligned, lanes), limit, stride, batchStrides };
}

/** Names what changes the code that reads an operand. */
export const keyOf = ({ along, reader }: Operand): string => along[0] + reader.key;

/** Whether a step of four along k may reach beyond the last: not where k is known to be a multiple of 4. */
export const isRagged = (operands: readonly Operand[]): boolean =>
  !operands.some(({ along, reader }) => along === "k" && reader.four);

/**
 * `x_start(line, lines, stride)`: where the reads of a line begin (of the four lines from it on, where those are loaded
 * together). Beyond the last line it is the last's. `x_load(start, p, k, stride)`: four values from p on along k, or
 * four lines at p. Beyond the end of k every value is 0 where `ragged`.
 */
export function declareOperand({ name, along, reader }: Operand, ragged: boolean): string {
  const { four } = reader;
  // Reads beyond the end of k stay inside and are replaced.
  const inside = (p: string, last: string) => (ragged ? `min(${p}, k - ${last})` : p);
  const orZero = (value: string, p: string, zero: string) =>
    ragged ? `select(${zero}, ${value}, ${p} < k)` : value;
  const head = reader.declare();
  if (along === "k") {
    const each = [0, 1, 2, 3].map((c) =>
      orZero(`${name}_at(start + ${inside(`p + ${c}u`, "1u")})`, `p + ${c}u`, "0f"),
    );
    const load = four
      ? orZero(`${name}_four(start + ${inside("p", "4u")})`, "p", "vec4f()")
      : `vec4f(${each.join(", ")})`;
    return `${head}
fn ${name}_start(line: u32, lines: u32, stride: u32) -> u32 { return min(line, lines - 1u) * stride; }
fn ${name}_load(start: u32, p: u32, k: u32, stride: u32) -> vec4f { return ${load}; }`;
  }
  const load = four
    ? `${name}_four(at)`
    : `vec4f(${[0, 1, 2, 3].map((c) => `${name}_at(at + ${c}u)`).join(", ")})`;
  return `${head}
fn ${name}_start(line: u32, lines: u32, stride: u32) -> u32 { return min(line, (lines - 1u) & ~3u); }
fn ${name}_load(start: u32, p: u32, k: u32, stride: u32) -> vec4f { let at = start + ${inside("p", "1u")} * stride; return ${orZero(load, "p", "vec4f()")}; }`;
}

/** The text of a call of `x_start`, among the names that `batchStart` declares. */
export const startOf = ({ name, limit }: Operand, line: string): string =>
  `${name}0 + ${name}_start(${line}, ${limit}, ${name}_stride)`;

/** The text of a call of `x_load`. */
export const loadOf = ({ name }: Operand, from: string, p: string): string =>
  `${name}_load(${from}, ${p}, k, ${name}_stride)`;

/** Params of sizes, strides and batch axes that all tile kernels share, and the readers' own. */
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
  for (const { reader } of operands) params.push(...(reader.params ?? []));
  return params;
}

/** Batch axes in the code: one also where there are none, so that both share a pipeline. */
export const batchAxes = ({ batch }: MatmulPlan): number => Math.max(1, batch.length);

/** Declares the sizes, the strides, and a0 and b0, where the operands of the batch's matrix number `matrix` begin. */
export function batchStart(plan: MatmulPlan, operands: readonly Operand[]): string {
  const axes = range(batchAxes(plan)).reverse();
  return `${operands.map(({ reader }) => reader.setup ?? "").join("")}let m = P.m; let n = P.n; let k = P.k; let a_stride = P.a_stride; let b_stride = P.b_stride;
  var a0 = 0u; var b0 = 0u; var rest = matrix;
  ${axes.map((axis) => `{ let c = rest % P.d${axis}; a0 += c * P.sa${axis}; b0 += c * P.sb${axis}; rest /= P.d${axis}; }`).join("\n  ")}`;
}

/** Declares the tile of this workgroup and its matrix; rows of tiles vary fastest, so that a tile of weights stays in the cache. */
export const tileOfGroup = `let tile_m = group % P.tiles_m;
  let tile_n = (group / P.tiles_m) % P.tiles_n;
  let matrix = group / (P.tiles_m * P.tiles_n);`;

export const range = (count: number): number[] => [...Array(count).keys()];
