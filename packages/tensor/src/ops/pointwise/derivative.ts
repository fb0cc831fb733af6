import { constant, type Expr, e, inOrder } from "./expr.ts";
import type { PrimitiveName } from "./primitives.ts";

const TWO_OVER_SQRT_PI = 2 / Math.sqrt(Math.PI);

/** Partial derivatives of each primitive by its arguments; `y` is the value itself. */
const rules: Record<PrimitiveName, (args: readonly Expr[], y: Expr) => readonly Expr[]> = {
  add: () => [constant(1), constant(1)],
  sub: () => [constant(1), constant(-1)],
  mul: ([a, b]) => [b, a],
  div: ([, b], y) => [e.div(1, b), e.neg(e.div(y, b))],
  neg: () => [constant(-1)],
  abs: ([a]) => [sign(a)],
  sqrt: (_, y) => [e.div(0.5, y)],
  exp: (_, y) => [y],
  log: ([a]) => [e.div(1, a)],
  sin: ([a]) => [e.cos(a)],
  cos: ([a]) => [e.neg(e.sin(a))],
  tanh: (_, y) => [e.sub(1, e.mul(y, y))],
  sigmoid: (_, y) => [e.mul(y, e.sub(1, y))],
  softplus: ([a]) => [e.sigmoid(a)],
  erf: ([a]) => [e.mul(TWO_OVER_SQRT_PI, e.exp(e.neg(e.mul(a, a))))],
  floor: () => [constant(0)],
  ceil: () => [constant(0)],
  round: () => [constant(0)],
  // A tie is shared, as PyTorch's maximum and minimum do.
  min: ([a, b]) => [share(e.lt(a, b), a, b), share(e.lt(b, a), a, b)],
  max: ([a, b]) => [share(e.lt(b, a), a, b), share(e.lt(a, b), a, b)],
  // d/da = b·a^(b−1), 0 where b is 0; d/db = a^b·log a, 0 where a is 0 and b ≥ 0 (PyTorch).
  pow: ([a, b], y) => [
    e.select(e.eq(b, 0), 0, e.mul(b, e.pow(a, e.sub(b, 1)))),
    e.select(e.and(e.eq(a, 0), e.le(0, b)), 0, e.mul(y, e.log(a))),
  ],
  lt: () => [constant(0), constant(0)],
  le: () => [constant(0), constant(0)],
  eq: () => [constant(0), constant(0)],
  ne: () => [constant(0), constant(0)],
  and: () => [constant(0), constant(0)],
  or: () => [constant(0), constant(0)],
  not: () => [constant(0)],
  finite: () => [constant(0)],
  select: ([condition]) => [constant(0), e.select(condition, 1, 0), e.select(condition, 0, 1)],
};

/** −1, 0 or 1. */
function sign(a: Expr): Expr {
  return e.select(e.lt(0, a), 1, e.select(e.lt(a, 0), -1, 0));
}

function share(wins: Expr, a: Expr, b: Expr): Expr {
  return e.select(wins, 1, e.select(e.eq(a, b), 0.5, 0));
}

/** seed · ∂root/∂input for each input number, by walking the formula backwards once. */
export function differentiate(root: Expr, seed: Expr, inputs: number): Expr[] {
  const adjoint = new Map<Expr, Expr>([[root, seed]]);
  const result: Expr[] = new Array<Expr>(inputs).fill(constant(0));
  for (const item of inOrder(root).reverse()) {
    const dy = adjoint.get(item);
    if (dy === undefined) continue;
    if (item.kind === "input") result[item.index] = e.add(result[item.index], dy);
    if (item.kind !== "call") continue;
    const partials = rules[item.fn](item.args, item);
    item.args.forEach((arg, i) => {
      const partial = partials[i];
      if (partial.kind === "const" && partial.value === 0) return;
      const step = chain(dy, partial);
      const before = adjoint.get(arg);
      adjoint.set(arg, before === undefined ? step : e.add(before, step));
    });
  }
  return result;
}

/** dy · partial, where a select picks values rather than multiplies, so that 0 · infinity cannot appear. */
function chain(dy: Expr, partial: Expr): Expr {
  if (partial.kind === "const" && partial.value === -1) return e.neg(dy);
  if (partial.kind === "call" && partial.fn === "select") {
    const [condition, then, otherwise] = partial.args;
    return e.select(condition, chain(dy, then), chain(dy, otherwise));
  }
  return e.mul(dy, partial);
}
