import { isLive } from "../../compile/live.ts";
import type { View } from "../../device/device.ts";
import { computeType, type DType, isFloat, type TypedArray } from "../../dtype.ts";
import { DTypeError, ShapeError } from "../../errors.ts";
import { broadcastShapes, broadcastStrides, collapse, show, sizeOf } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";
import type { Kernel, Param } from "../kernel.ts";
import { apply, type CpuArray, type Meta, type Op } from "../op.ts";
import { differentiate } from "./derivative.ts";
import { type Expr, e, inputsOf, substitute, textOf } from "./expr.ts";
import { type Program, prepare, prepareFast } from "./interpret.ts";
import { primitives } from "./primitives.ts";
import { print } from "./print.ts";

export type Params = Readonly<Record<string, number>>;

/** What distinguishes one pointwise op from another. */
export interface PointwiseSpec {
  readonly name: string;
  /** Names of the tensor inputs, for messages. A name that ends in "?" is a bool tensor. */
  readonly inputs: readonly string[];
  /** The formula, stated once. `x` are the inputs; params are numbers given with each call. */
  readonly body: (x: readonly Expr[], param: (name: string) => Expr) => Expr;
  /** "float" (default): f32 and f64 (f16, bf16 read as f32). "any": also i32 and u32, computed as such. */
  readonly types?: "float" | "any";
  /** Replaces the derivative that follows from the body, where a better one is known: ∂/∂x_i, from x and the params. */
  readonly derivative?: (x: readonly Expr[], param: (name: string) => Expr) => readonly Expr[];
}

/** An elementwise op with broadcasting: from its body follow both kernels and, by differentiation, its gradient. */
export function pointwise(spec: PointwiseSpec): Op<Params> {
  const names = spec.inputs.map((name) => name.replace("?", ""));
  const inputs: Expr[] = spec.inputs.map((name, index) => ({
    kind: "input",
    index,
    bool: name.endsWith("?"),
  }));
  return build(spec, names, inputs, spec.body(inputs, param), () => {
    if (spec.derivative === undefined) return undefined;
    return spec.derivative(inputs, param);
  });
}

function param(name: string): Expr {
  return { kind: "param", name };
}

function build(
  spec: PointwiseSpec,
  names: readonly string[],
  inputs: readonly Expr[],
  body: Expr,
  explicit: () => readonly Expr[] | undefined,
): Op<Params> {
  const isBool = answers(body);
  const text = textOf(body);
  const isQuestion = (i: number): boolean => {
    const input = inputs[i];
    return input.kind === "input" && input.bool;
  };
  let plain: Program | undefined;
  let vectors: Program | undefined;
  let gradients: GradientOps | undefined;
  const gradientOps = (): GradientOps => {
    gradients ??= makeGradients(spec, names, inputs, body, explicit());
    return gradients;
  };

  return {
    name: spec.name,

    infer(metas, params) {
      metas.forEach((meta, i) => {
        if (isQuestion(i) !== (meta.dtype === "bool")) {
          throw new DTypeError(
            spec.name,
            `${names[i]} must be ${isQuestion(i) ? "bool" : "a number type"}, got ${meta.dtype}.`,
          );
        }
        if (meta.dtype !== "bool" && !isFloat(meta.dtype) && spec.types !== "any") {
          throw new DTypeError(
            spec.name,
            `${names[i]} must be a float type, got ${meta.dtype}. Use cast first.`,
          );
        }
      });
      const shape = broadcastShapes(metas.map((meta) => meta.shape));
      if (shape === undefined) {
        throw new ShapeError(
          spec.name,
          `shapes must broadcast, got ${metas.map((meta, i) => `${names[i]} ${show(meta.shape)}`).join(" and ")}.`,
        );
      }
      const common = commonType(spec.name, names, metas);
      if (common === "i32" || common === "u32") checkWhole(spec.name, params, common);
      return [{ shape, dtype: isBool ? "bool" : common }];
    },

    cpu(arrays, [out], params, { fast }) {
      // An array of f64 stays with the engine's own functions, which are exact to its last bit.
      const exact = !fast || arrays.some((array) => array.dtype === "f64");
      if (exact) plain ??= prepare(body, inputs.length);
      else vectors ??= prepareFast(body, inputs.length);
      const program = exact ? plain : vectors;
      if (program !== undefined) runOnCpu(program, arrays, out, params);
    },

    wgsl(views, [out], params) {
      return [pointwiseKernel(text, [body], views, [out], params)];
    },

    formula: body,

    gradient: ({ inputs: tensors, dy, attrs, needs }) => gradientOps().run(tensors, dy, attrs, needs),

    saves: () => ({ inputs: [...gradientOps().reads] }),

    flops: (_, [out]) => sizeOf(out.shape) * text.split("(").length,
  };
}

interface GradientOps {
  /** Inputs that some derivative reads. */
  readonly reads: ReadonlySet<number>;
  run(
    tensors: readonly Tensor[],
    dy: Tensor,
    params: Params,
    needs: readonly boolean[],
  ): (Tensor | undefined)[];
}

/** One pointwise op for each input: dy · ∂body/∂input, over the inputs that it reads and dy. */
function makeGradients(
  spec: PointwiseSpec,
  names: readonly string[],
  inputs: readonly Expr[],
  body: Expr,
  explicit: readonly Expr[] | undefined,
): GradientOps {
  const seed: Expr = { kind: "input", index: inputs.length, bool: false };
  const formulas =
    explicit === undefined
      ? differentiate(body, seed, inputs.length)
      : explicit.map((partial) => e.mul(seed, partial));
  const ops = formulas.map((formula, i) => {
    if (formula.kind === "const" && formula.value === 0) return undefined;
    const used = [...inputsOf(formula)].sort((a, b) => a - b);
    const renumbered = new Map<number, Expr>(
      used.map((old, index) => [
        old,
        { kind: "input", index, bool: old < inputs.length && isBoolInput(inputs[old]) },
      ]),
    );
    const own = used.map((_, index) => renumbered.get(used[index]) ?? seed);
    const formulaOfUsed = substitute(formula, (leaf) =>
      leaf.kind === "input" ? (renumbered.get(leaf.index) ?? leaf) : leaf,
    );
    const op = build(
      { ...spec, name: `${spec.name}Gradient`, derivative: undefined },
      used.map((old) => names[old] ?? "dy"),
      own,
      formulaOfUsed,
      () => undefined,
    );
    return { op, used, i };
  });
  const reads = new Set(ops.flatMap((entry) => entry?.used.filter((index) => index < inputs.length) ?? []));
  return {
    reads,
    run(tensors, dy, params, needs) {
      return ops.map((entry, i) => {
        if (!needs[i] || entry === undefined) return undefined;
        if (entry.used.length === 1 && entry.used[0] === inputs.length && formulas[i] === seed) return dy;
        return apply(
          entry.op,
          entry.used.map((index) => (index < inputs.length ? tensors[index] : dy)),
          params,
        )[0];
      });
    },
  };
}

function isBoolInput(x: Expr): boolean {
  return x.kind === "input" && x.bool;
}

function answers(x: Expr): boolean {
  return x.kind === "call" && primitives[x.fn].result === "bool";
}

/** A number that the integer type does not hold would be rounded by one device and compared as it is by another. */
function checkWhole(who: string, params: Params, dtype: "i32" | "u32"): void {
  for (const [name, value] of Object.entries(params)) {
    const held = dtype === "i32" ? value | 0 : value >>> 0;
    if (value !== held)
      throw new DTypeError(
        who,
        `${name} must be a whole number that ${dtype} holds, got ${value}. Use cast on the tensor.`,
      );
  }
}

/** f16 and bf16 count as f32. Two different types are an error: nothing is converted silently. */
export function commonType(who: string, names: readonly string[], metas: readonly Meta[]): DType {
  const numbers = metas
    .map((meta, i) => ({ type: computeType(meta.dtype), name: names[i], dtype: meta.dtype }))
    .filter(({ type }) => type !== "bool");
  const [first, ...rest] = numbers;
  if (first === undefined) return "bool";
  for (const other of rest) {
    if (other.type !== first.type) {
      throw new DTypeError(
        who,
        `dtypes must agree, got ${first.name} ${first.dtype} and ${other.name} ${other.dtype}. Use cast on one of them.`,
      );
    }
  }
  return first.type;
}

function runOnCpu(program: Program, arrays: readonly CpuArray[], out: CpuArray, params: Params): void {
  const size = sizeOf(out.shape);
  const sizes = arrays.map((array) => sizeOf(array.shape));
  const walk = collapse(
    out.shape,
    arrays.map((array) => broadcastStrides(array.shape, out.shape)),
  );
  program.start(size, params);
  arrays.forEach(({ data }, k) => {
    if (sizes[k] === 1) program.inputs[k].fill(data[0], 0, Math.min(program.chunk, size));
  });
  for (let start = 0; start < size; start += program.chunk) {
    const n = Math.min(program.chunk, size - start);
    for (let k = 0; k < arrays.length; k++) {
      if (sizes[k] === 1) continue;
      const chunk = program.inputs[k];
      if (sizes[k] === size) readRun(chunk, 0, arrays[k].data, start, 1, n);
      else gather(chunk, arrays[k], start, n, walk.shape, walk.strides[k]);
    }
    write(out.data, start, program.run(n), n);
  }
}

/** Reads values start … start + n of a broadcast input: runs along the last axis, then the outer axes like a counter. */
function gather(
  chunk: Float64Array,
  array: CpuArray,
  start: number,
  n: number,
  shape: readonly number[],
  strides: readonly number[],
): void {
  const last = shape.length - 1;
  const index = new Array<number>(shape.length).fill(0);
  let rest = start;
  for (let axis = last; axis >= 0; axis--) {
    index[axis] = rest % shape[axis];
    rest = Math.floor(rest / shape[axis]);
  }
  for (let i = 0; i < n; ) {
    let at = 0;
    for (let axis = 0; axis <= last; axis++) at += index[axis] * strides[axis];
    const run = Math.min(n - i, shape[last] - index[last]);
    readRun(chunk, i, array.data, at, strides[last], run);
    i += run;
    index[last] += run;
    for (let axis = last; axis > 0 && index[axis] === shape[axis]; axis--) {
      index[axis] = 0;
      index[axis - 1]++;
    }
  }
}

/** Shorter runs are copied by a loop, since a call of `set` costs as much as some dozen values. */
const SHORT = 32;

/** chunk[i …] = data[at, at + step, …], n values. `set` converts f32 and f64 several times as fast as a loop does. */
function readRun(
  chunk: Float64Array,
  i: number,
  data: TypedArray,
  at: number,
  step: number,
  n: number,
): void {
  if (step === 0) chunk.fill(data[at], i, i + n);
  else if (step === 1 && n >= SHORT) chunk.set(data.subarray(at, at + n), i);
  else for (let k = 0; k < n; k++) chunk[i + k] = data[at + k * step];
}

function write(data: TypedArray, start: number, values: Float64Array, n: number): void {
  if (data instanceof Float32Array || data instanceof Float64Array)
    data.set(n === values.length ? values : values.subarray(0, n), start);
  else for (let i = 0; i < n; i++) data[start + i] = values[i];
}

/** One invocation a value of each output. Inputs of full size are read straight; the others through collapsed broadcast strides. */
export function pointwiseKernel(
  text: string,
  bodies: readonly Expr[],
  views: readonly View[],
  outs: readonly View[],
  params: Params,
): Kernel {
  const [out] = outs;
  const size = sizeOf(out.shape);
  const walk = collapse(
    out.shape,
    views.map((view) => broadcastStrides(view.shape, out.shape)),
  );
  const kinds = views.map((view) =>
    sizeOf(view.shape) === size ? "full" : sizeOf(view.shape) === 1 ? "one" : "strided",
  );
  const strided = views.map((_, k) => k).filter((k) => kinds[k] === "strided");
  const type = numberType(views);
  const live = isLive(params);
  const wgslParams: Param[] = Object.entries(params).map(([name, value]) => [
    name,
    type,
    live ? () => params[name] : value,
  ]);
  if (strided.length > 0) {
    for (const [axis, dim] of walk.shape.entries()) wgslParams.push([`d${axis}`, "u32", dim]);
    for (const k of strided)
      for (const [axis, stride] of walk.strides[k].entries())
        wgslParams.push([`s${k}_${axis}`, "u32", stride]);
  }
  const rank = walk.shape.length;
  return {
    key: `${text}|${kinds.join()}|${strided.length > 0 ? rank : ""}`,
    over: "element",
    count: size,
    bindings: [
      ...views.map((view, k) => ({ name: `x${k}`, view, access: "read" as const })),
      ...outs.map((view, k) => ({ name: `y${k}`, view, access: "write" as const })),
    ],
    params: wgslParams,
    declare: () => print(bodies, type, (k) => `x${k}`).helpers,
    main() {
      const walkLines = strided.length === 0 ? "" : indexLines(rank, strided);
      const { lines, results } = print(
        bodies,
        type,
        (k) => `x${k}_at(${kinds[k] === "full" ? "i" : kinds[k] === "one" ? "0u" : `o${k}`})`,
      );
      return `${walkLines}\n  ${lines}\n  ${results.map((result, k) => `y${k}_put(i, ${result});`).join(" ")}`;
    },
  };
}

function indexLines(rank: number, strided: readonly number[]): string {
  const lines = ["var rest = i;", ...strided.map((k) => `var o${k} = 0u;`)];
  for (let axis = rank - 1; axis >= 0; axis--) {
    const index = axis === 0 ? "rest" : `rest % P.d${axis}`;
    lines.push(`{ let c = ${index}; ${strided.map((k) => `o${k} += c * P.s${k}_${axis};`).join(" ")} }`);
    if (axis > 0) lines.push(`rest /= P.d${axis};`);
  }
  return lines.join("\n  ");
}

function numberType(views: readonly View[]): "f32" | "i32" | "u32" {
  for (const view of views) {
    if (view.dtype === "i32") return "i32";
    if (view.dtype === "u32") return "u32";
  }
  return "f32";
}
