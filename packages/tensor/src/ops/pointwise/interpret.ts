import { type Expr, inOrder } from "./expr.ts";
import { type PrimitiveName, primitives } from "./primitives.ts";

/** Values that are worked on at once: few enough for the first-level cache, enough to hide the cost of a step. */
export const CHUNK = 1024;

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

/** A formula made ready to run in float64 on chunks of up to CHUNK values, without generating code. */
export interface Program {
  /** Fill these before `run`: one chunk for each input. */
  readonly inputs: Float64Array[];
  /** Computes the first `n` values; the result is valid until the next run. */
  run(n: number, params: Readonly<Record<string, number>>): Float64Array;
}

export function prepare(root: Expr, inputs: number): Program {
  const order = inOrder(root);
  const inputChunks = Array.from({ length: inputs }, () => new Float64Array(CHUNK));
  const chunks = new Map<Expr, Float64Array>();
  for (const item of order) {
    const chunk = item.kind === "input" ? inputChunks[item.index] : new Float64Array(CHUNK);
    if (item.kind === "const") chunk.fill(item.value);
    chunks.set(item, chunk);
  }
  const of = (x: Expr | undefined): Float64Array => (x === undefined ? empty : (chunks.get(x) ?? empty));
  const steps = order.flatMap((item) => {
    if (item.kind !== "call") return [];
    const [a, b, c] = item.args;
    return [{ loop: loopOf(item.fn), out: of(item), a: of(a), b: of(b), c: of(c) }];
  });
  const params = order.flatMap((item) =>
    item.kind === "param" ? [{ name: item.name, chunk: of(item) }] : [],
  );
  const result = of(root);
  return {
    inputs: inputChunks,
    run(n, values) {
      for (const { name, chunk } of params)
        if (chunk[0] !== values[name] || chunk[CHUNK - 1] !== values[name]) chunk.fill(values[name]);
      for (const { loop, out, a, b, c } of steps) loop(out, a, b, c, n);
      return result;
    },
  };
}

const empty = new Float64Array(CHUNK);
