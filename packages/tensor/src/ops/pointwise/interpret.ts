import { float64Engine, SLOT } from "../../device/cpu/wasm/float64.ts";
import { type Expr, inOrder } from "./expr.ts";
import { type PrimitiveName, primitives } from "./primitives.ts";

/** Values that are worked on at once: few enough for the first-level cache, enough to hide the cost of a step. */
const CHUNK = 1024;

type Loop = (out: Float64Array, a: Float64Array, b: Float64Array, c: Float64Array, n: number) => void;

/** Loops that the engine compiles well because their body is fixed; the other primitives share one that calls `js`. */
const loops: Partial<Record<PrimitiveName, Loop>> = {
  add(out, a, b, _, n) {
    for (let i = 0; i < n; i++) out[i] = a[i] + b[i];
  },
  sub(out, a, b, _, n) {
    for (let i = 0; i < n; i++) out[i] = a[i] - b[i];
  },
  mul(out, a, b, _, n) {
    for (let i = 0; i < n; i++) out[i] = a[i] * b[i];
  },
  div(out, a, b, _, n) {
    for (let i = 0; i < n; i++) out[i] = a[i] / b[i];
  },
  exp(out, a, _, __, n) {
    for (let i = 0; i < n; i++) out[i] = Math.exp(a[i]);
  },
  sigmoid(out, a, _, __, n) {
    for (let i = 0; i < n; i++) {
      const y = Math.exp(-Math.abs(a[i]));
      out[i] = (a[i] >= 0 ? 1 : y) / (1 + y);
    }
  },
  neg(out, a, _, __, n) {
    for (let i = 0; i < n; i++) out[i] = -a[i];
  },
  sqrt(out, a, _, __, n) {
    for (let i = 0; i < n; i++) out[i] = Math.sqrt(a[i]);
  },
  log(out, a, _, __, n) {
    for (let i = 0; i < n; i++) out[i] = Math.log(a[i]);
  },
  select(out, a, b, c, n) {
    for (let i = 0; i < n; i++) out[i] = a[i] !== 0 ? b[i] : c[i];
  },
};

function loopOf(fn: PrimitiveName): Loop {
  const js = primitives[fn].js;
  return (
    loops[fn] ??
    ((out, a, b, c, n) => {
      for (let i = 0; i < n; i++) out[i] = js(a[i], b[i], c[i]);
    })
  );
}

/** A formula made ready to run in float64 on chunks of up to `chunk` values, without generating code. */
export interface Program {
  readonly chunk: number;
  /** Fill these before `run`: one chunk for each input. They and the result are valid until the next `start`. */
  readonly inputs: readonly Float64Array[];
  /** Before the inputs are filled: sets the params, and constants for chunks of up to `n` values. */
  start(n: number, params: Readonly<Record<string, number>>): void;
  /** Computes the first `n` values. */
  run(n: number): Float64Array;
}

/** The plain loops. */
export function prepare(root: Expr, inputs: number): Program {
  const slots = layOut(root, inputs);
  const chunks = Array.from({ length: slots.count }, () => new Float64Array(CHUNK));
  const of = (x: Expr | undefined): Float64Array => (x === undefined ? empty : chunks[slots.of(x)]);
  const steps = slots.calls.map(({ item, args: [a, b, c] }) => ({
    loop: loopOf(item.fn),
    out: of(item),
    a: of(a),
    b: of(b),
    c: of(c),
  }));
  const result = of(root);
  return {
    chunk: CHUNK,
    inputs: chunks.slice(0, inputs),
    start: (n, params) => slots.fill(chunks, Math.min(n, CHUNK), params),
    run(n) {
      for (const { loop, out, a, b, c } of steps) loop(out, a, b, c, n);
      return result;
    },
  };
}

/** The same with WebAssembly where a primitive has it, on memory that all formulas share. */
export function prepareFast(root: Expr, inputs: number): Program {
  const engine = float64Engine();
  const slots = layOut(root, inputs);
  if (slots.count > engine.slots.length) return prepare(root, inputs);
  const chunks = engine.slots;
  const of = (x: Expr | undefined): number => (x === undefined ? 0 : slots.of(x));
  const steps = slots.calls.map(({ item, args }) => {
    const places = [of(item), of(args[0]), of(args[1]), of(args[2])] as const;
    const step = engine.steps[item.fn];
    if (step === undefined) {
      const loop = loopOf(item.fn);
      const [out, a, b, c] = places.map((slot) => chunks[slot]);
      return (n: number) => loop(out, a, b, c, n);
    }
    const [out, a, b, c] = places.map(engine.addressOf);
    return (n: number) => step(out, a, b, c, 8 * n);
  });
  const result = chunks[slots.of(root)];
  return {
    chunk: SLOT,
    inputs: chunks.slice(0, inputs),
    start: (n, params) => slots.fill(chunks, Math.min(n, SLOT), params),
    run(n) {
      for (const step of steps) step(n);
      return result;
    },
  };
}

interface Slots {
  readonly count: number;
  of(x: Expr): number;
  readonly calls: readonly { readonly item: Expr & { kind: "call" }; readonly args: readonly Expr[] }[];
  fill(chunks: readonly Float64Array[], n: number, params: Readonly<Record<string, number>>): void;
}

/** A place for every value of a formula: the inputs in their order, then the others. */
function layOut(root: Expr, inputs: number): Slots {
  const order = inOrder(root);
  const places = new Map<Expr, number>();
  let count = inputs;
  for (const item of order) places.set(item, item.kind === "input" ? item.index : count++);
  const of = (x: Expr): number => places.get(x) ?? 0;
  return {
    count,
    of,
    calls: order.flatMap((item) => (item.kind === "call" ? [{ item, args: item.args }] : [])),
    fill(chunks, n, params) {
      for (const item of order) {
        if (item.kind === "const") chunks[of(item)].fill(item.value, 0, n);
        if (item.kind === "param") chunks[of(item)].fill(params[item.name], 0, n);
      }
    },
  };
}

const empty = new Float64Array(CHUNK);
