import { type Reader, type Source, storedOf } from "./reader.ts";

/** Which values of an operand lie side by side: those of a line (of a row of a, of a column of b), or those of neighbouring lines. */
export type Along = "k" | "lines";

/**
 * An operand as tile kernels read it: always four values at once. Its lines are the rows of a or the columns of b. Where
 * the values of a line lie side by side, four of k are loaded, else four lines.
 */
export interface Operand {
  /** "a" or "b"; its functions, bindings and params begin with `name`. */
  readonly role: "a" | "b";
  readonly name: string;
  readonly along: Along;
  readonly reader: Reader;
}

/** @param aligned - whether every line and every matrix begin at a multiple of 4 */
export function operandOf(
  role: "a" | "b",
  name: string,
  source: Source,
  along: Along,
  aligned: boolean,
  lanes: number,
): Operand {
  return { role, name, along, reader: storedOf(source).read(name, aligned, lanes) };
}

/** Names what changes the code that reads an operand. */
export const keyOf = ({ along, reader }: Operand): string => along[0] + reader.key;

/** Whether a step of four along k may reach beyond the last: not where k is known to be a multiple of 4. */
const isRagged = (operands: readonly Operand[]): boolean =>
  !operands.some(({ along, reader }) => along === "k" && reader.four);

/**
 * For each operand `x_start(line, lines, stride)`: where the reads of a line begin (of the four lines from it on, where those are
 * loaded together). Beyond the last line it is the last's. And `x_load(start, p, k, stride)`: four values from p on along k, or
 * four lines at p. Beyond the end of k every value is 0; `steps`: only steps of four can go beyond, and not where k is a
 * multiple of 4.
 */
export function declareOperands(operands: readonly Operand[], steps: boolean): string {
  const ragged = !steps || isRagged(operands);
  return operands.map((operand) => declareOperand(operand, ragged)).join("\n");
}

function declareOperand({ name, along, reader }: Operand, ragged: boolean): string {
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

/** The text of a call of `x_start`, among the names that a frame declares. */
export const startOf = ({ name, role }: Operand, line: string): string =>
  `${role}_base + ${name}_start(${line}, ${role === "a" ? "m" : "n"}, ${role}_stride)`;

/** The text of a call of `x_load`. */
export const loadOf = ({ name, role }: Operand, from: string, p: string): string =>
  `${name}_load(${from}, ${p}, k, ${role}_stride)`;

export const range = (count: number): number[] => [...Array(count).keys()];
