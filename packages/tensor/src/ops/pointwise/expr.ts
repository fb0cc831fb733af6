import { type PrimitiveName, primitives } from "./primitives.ts";

/** A scalar formula over an op's inputs. Equal subformulas should be one object: they are computed once. */
export type Expr =
  | { readonly kind: "input"; readonly index: number; readonly bool: boolean }
  | { readonly kind: "param"; readonly name: string }
  | { readonly kind: "const"; readonly value: number }
  | { readonly kind: "call"; readonly fn: PrimitiveName; readonly args: readonly Expr[] };

export const constant = (value: number): Expr => ({ kind: "const", value });

type Operand = Expr | number;

const lift = (x: Operand): Expr => (typeof x === "number" ? constant(x) : x);
const isConst = (x: Expr, value: number): boolean => x.kind === "const" && x.value === value;

/** Builds a call, folding what 0 and 1 make trivial, so that derivatives stay short. */
function call(fn: PrimitiveName, ...operands: Operand[]): Expr {
  const args = operands.map(lift);
  const [a, b] = args;
  if (fn === "add" && isConst(a, 0)) return b;
  if ((fn === "add" || fn === "sub") && isConst(b, 0)) return a;
  if (fn === "sub" && isConst(a, 0)) return call("neg", b);
  if (fn === "mul" && (isConst(a, 0) || isConst(b, 0))) return constant(0);
  if (fn === "mul" && isConst(a, 1)) return b;
  if ((fn === "mul" || fn === "div") && isConst(b, 1)) return a;
  if (fn === "div" && isConst(a, 0)) return constant(0);
  if (fn === "neg" && isConst(a, 0)) return a;
  if (fn === "select" && isConst(args[1], 0) && isConst(args[2], 0)) return constant(0);
  if (args.every((x) => x.kind === "const") && primitives[fn].result === "number") {
    const [x, y, z] = args.map((arg) => (arg.kind === "const" ? arg.value : 0));
    return constant(primitives[fn].js(x, y ?? 0, z ?? 0));
  }
  return { kind: "call", fn, args };
}

/** The words in which bodies are written: `e.mul(x, e.sigmoid(x))`. Numbers stand for constants. */
export const e = Object.fromEntries(
  Object.keys(primitives).map((fn) => [fn, (...args: Operand[]) => call(fn as PrimitiveName, ...args)]), // keys of `primitives`
) as Record<PrimitiveName, (...args: Operand[]) => Expr>;

/** All calls, inputs and params of formulas, each once, arguments first. */
export function inOrder(...roots: readonly Expr[]): Expr[] {
  const seen = new Set<Expr>();
  const order: Expr[] = [];
  const visit = (x: Expr): void => {
    if (seen.has(x)) return;
    seen.add(x);
    if (x.kind === "call") for (const arg of x.args) visit(arg);
    order.push(x);
  };
  for (const root of roots) visit(root);
  return order;
}

/** A text that two formulas (or lists of them) share only if they are the same. */
export function textOf(...roots: readonly Expr[]): string {
  const order = inOrder(...roots);
  const at = new Map(order.map((item, i) => [item, i]));
  const several = roots.length === 1 ? "" : `>${roots.map((root) => at.get(root)).join()}`;
  const text = order
    .map((item) => {
      if (item.kind === "call") return `${item.fn}(${item.args.map((arg) => at.get(arg)).join(" ")})`;
      if (item.kind === "input") return `${item.bool ? "?" : "x"}${item.index}`;
      return item.kind === "param" ? `$${item.name}` : `#${item.value}`;
    })
    .join(";");
  return text + several;
}

/** The inputs that a formula reads. */
export function inputsOf(x: Expr): Set<number> {
  return new Set(inOrder(x).flatMap((item) => (item.kind === "input" ? [item.index] : [])));
}

/** The formula with its inputs and params replaced; equal parts stay one object over all calls that share `done`. */
export function substitute(
  root: Expr,
  replace: (leaf: Expr & { kind: "input" | "param" }) => Expr,
  done: Map<Expr, Expr> = new Map(),
): Expr {
  const known = done.get(root);
  if (known !== undefined) return known;
  let result: Expr = root;
  if (root.kind === "input" || root.kind === "param") result = replace(root);
  if (root.kind === "call")
    result = { ...root, args: root.args.map((arg) => substitute(arg, replace, done)) };
  done.set(root, result);
  return result;
}
