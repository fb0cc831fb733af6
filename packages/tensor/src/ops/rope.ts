import { changesNothing, everyStep, isLive } from "../compile/live.ts";
import { ShapeError, ValueError } from "../errors.ts";
import { sameShape, show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { add } from "./add.ts";
import { onesLike, zerosLike } from "./fill.ts";
import type { Param } from "./kernel.ts";
import { mul } from "./mul.ts";
import { neg } from "./neg.ts";
import { apply, type CpuArray, type GradientContext, type Meta, type Op } from "./op.ts";
import { commonType } from "./pointwise/pointwise.ts";
import { reshape } from "./reshape.ts";
import { checkRows } from "./rows.ts";
import { sum } from "./sum.ts";
import { place } from "./window.ts";

interface RopeAttrs {
  /** −1 turns back: the transposed, which is also the inverse, rotation. */
  readonly sign: 1 | -1;
  /** Whether an axis of heads stands between seq and headDim. */
  readonly heads: boolean;
  /** The row of the tables for the first position; undefined where they have one row for each. May change from step to step. */
  readonly start: number | undefined;
}

export interface RopeOptions {
  /** "bhtd": x is `[..., seq, headDim]`; "bthd": x is `[..., seq, heads, headDim]`. Default "bhtd". */
  layout?: "bhtd" | "bthd";
  /**
   * The position of the first of seq: the tables may then have more rows, and those from `start` on are read. A function is asked
   * again in each step of a compiled one. Default: the tables have exactly seq rows.
   */
  start?: number | (() => number);
}

/** seq, heads between it and the last axis, and half of that. */
function sizesOf({ shape }: Meta, { heads }: RopeAttrs): { seq: number; between: number; half: number } {
  return {
    seq: shape[shape.length - (heads ? 3 : 2)],
    between: heads ? shape[shape.length - 2] : 1,
    half: shape[shape.length - 1] / 2,
  };
}

/** One x or several that have the same seq and headDim, then cos and sin; an output for each x. */
const ropeOp: Op<RopeAttrs> = {
  name: "rope",

  infer(inputs, attrs) {
    const xs = inputs.slice(0, -2);
    for (const x of xs) checkTables(x, inputs.slice(-2), attrs);
    const names = [...xs.map((_, i) => (i === 0 ? "x" : `x${i}`)), "cos", "sin"];
    const dtype = commonType("rope", names, inputs);
    return xs.map(({ shape }) => ({ shape, dtype }));
  },

  cpu(inputs, outputs, attrs) {
    const [cos, sin] = inputs.slice(-2);
    outputs.forEach((y, i) => {
      turn(inputs[i], cos, sin, y, attrs);
    });
  },

  // One invocation for each pair of values, of the first x and then of the others.
  wgsl(inputs, outputs, attrs) {
    const [cos, sin] = inputs.slice(-2);
    const { sign } = attrs;
    const starts = outputs.map((_, i) =>
      outputs.slice(0, i).reduce((n, { shape }) => n + sizeOf(shape) / 2, 0),
    );
    return [
      {
        key: `pairs${outputs.length}`,
        over: "element",
        count: outputs.reduce((n, { shape }) => n + sizeOf(shape) / 2, 0),
        bindings: [
          ...outputs.flatMap((y, i) => [
            { name: `x${i}`, view: inputs[i], access: "read" as const },
            { name: `y${i}`, view: y, access: "write" as const },
          ]),
          { name: "c", view: cos, access: "read" },
          { name: "s", view: sin, access: "read" },
        ],
        params: [
          ["half_dim", "u32", cos.shape[1]],
          ["start", "u32", () => attrs.start ?? 0],
          ["turn", "f32", sign],
          ...outputs.flatMap((y, i): Param[] => {
            const { seq, between } = sizesOf(y, attrs);
            return [
              [`first${i}`, "u32", starts[i]],
              [`seq${i}`, "u32", seq],
              [`heads${i}`, "u32", between],
            ];
          }),
        ],
        main: () =>
          outputs
            .map((_, i) => i)
            .reverse()
            .map((i) => {
              const body = `let pair = i - P.first${i};
  let k = pair / P.half_dim * 2u * P.half_dim + pair % P.half_dim;
  let position = P.start + pair / P.half_dim / P.heads${i} % P.seq${i};
  let t = position * P.half_dim + pair % P.half_dim;
  let a = x${i}_at(k);
  let b = x${i}_at(k + P.half_dim);
  let cosine = c_at(t);
  let sine = P.turn * s_at(t);
  y${i}_put(k, a * cosine - b * sine);
  y${i}_put(k + P.half_dim, b * cosine + a * sine);`;
              return i === 0 ? body : `if (i >= P.first${i}) { ${body}\n  return; }`;
            })
            .join("\n  "),
      },
    ];
  },

  gradient: ropeGradient,
  flops: (inputs) => inputs.slice(0, -2).reduce((n, { shape }) => n + 3 * sizeOf(shape), 0),
};

function turn(x: CpuArray, cos: CpuArray, sin: CpuArray, y: CpuArray, attrs: RopeAttrs): void {
  const { seq, between, half } = sizesOf(x, attrs);
  const from = x.data;
  const to = y.data;
  const lines = half === 0 ? 0 : sizeOf(x.shape) / (2 * half);
  for (let line = 0; line < lines; line++) {
    const position = (attrs.start ?? 0) + (Math.floor(line / between) % seq);
    for (let k = line * 2 * half, t = position * half; t < (position + 1) * half; k++, t++) {
      const a = from[k];
      const b = from[k + half];
      const c = cos.data[t];
      const s = attrs.sign * sin.data[t];
      to[k] = a * c - b * s;
      to[k + half] = b * c + a * s;
    }
  }
}

// The rotation is orthogonal: dx turns dy back. With rot(x) = (−x₂, x₁), which is the rotation by 90°, the tables get
// dcos = Σ over the pair of dy·x and dsin = ± Σ over the pair of dy·rot(x), in the rows that were read.
function ropeGradient({ inputs, dys, attrs, needs }: GradientContext<RopeAttrs>): (Tensor | undefined)[] {
  const [cos, sin] = inputs.slice(-2);
  const pairs = inputs.slice(0, -2).flatMap((x, i) => {
    const dy = dys[i];
    return dy === undefined ? [] : [{ x, dy, i }];
  });
  const wanted = pairs.filter(({ i }) => needs[i]);
  const back = wanted.map(({ dy }) => dy);
  const turned = back.length === 0 ? [] : apply(ropeOp, [...back, cos, sin], turnedBack(attrs));
  const table = (product: (x: Tensor, dy: Tensor) => Tensor): Tensor => {
    const rows = pairs.map(({ x, dy }) => {
      const { seq, between, half } = sizesOf(x, attrs);
      const lead = sizeOf(x.shape.slice(0, attrs.heads ? -3 : -2));
      return sum(reshape(product(x, dy), [lead, seq, between, 2, half]), [0, 2, 3]);
    });
    const total = rows.reduce(add);
    if (attrs.start === undefined) return total;
    return place(total, cos.shape, { starts: [attrs.start, 0], steps: [1, 1] });
  };
  const quarter = (x: Tensor): Tensor =>
    apply(ropeOp, [x, zerosLike(cos), onesLike(sin)], { ...attrs, sign: 1 })[0];
  const dsin = (): Tensor => table((x, dy) => mul(dy, quarter(x)));
  return [
    ...inputs.slice(0, -2).map((_, i) => turned[wanted.findIndex((pair) => pair.i === i)]),
    needs[inputs.length - 2] ? table((x, dy) => mul(dy, x)) : undefined,
    needs[inputs.length - 1] ? (attrs.sign === 1 ? dsin() : neg(dsin())) : undefined,
  ];
}

function turnedBack(attrs: RopeAttrs): RopeAttrs {
  const back = (): RopeAttrs => ({ ...attrs, sign: attrs.sign === 1 ? -1 : 1 });
  return isLive(attrs) ? everyStep(back, changesNothing) : back();
}

function checkTables(x: Meta, tables: readonly Meta[], attrs: RopeAttrs): void {
  checkRows("rope", "x", x);
  const { shape } = x;
  const axes = attrs.heads ? "[..., seq, heads, headDim]" : "[..., seq, headDim]";
  if (shape.length < (attrs.heads ? 3 : 2) || shape[shape.length - 1] % 2 !== 0)
    throw new ShapeError("rope", `x must be ${axes} with an even headDim, got ${show(shape)}.`);
  const { seq, half } = sizesOf(x, attrs);
  const { start } = attrs;
  if (start !== undefined && !(Number.isInteger(start) && start >= 0))
    throw new ValueError("rope", `start must be a whole number from 0, got ${start}.`);
  for (const [i, { shape: table }] of tables.entries()) {
    const fits =
      start === undefined
        ? sameShape(table, [seq, half])
        : table.length === 2 && table[0] >= start + seq && table[1] === half;
    if (fits) continue;
    const name = ["cos", "sin"][i];
    throw new ShapeError(
      "rope",
      start === undefined
        ? `${name} must be ${show([seq, half])}, [seq, headDim / 2] of x ${show(shape)}, got ${show(table)}.`
        : `${name} must be [at least ${start + seq}, ${half}], [start + seq, headDim / 2] of x ${show(shape)}, got ${show(table)}.`,
    );
  }
  if (!sameShape(tables[0].shape, tables[1].shape))
    throw new ShapeError(
      "rope",
      `cos and sin must have one shape, got ${show(tables[0].shape)} and ${show(tables[1].shape)}.`,
    );
}

/**
 * Rotary position embedding by halves, as Llama's checkpoints have it: of each head, value i and value i + headDim/2
 * are turned together by the angle of their position,
 * `y₁ = x₁·cos − x₂·sin`, `y₂ = x₂·cos + x₁·sin`.
 *
 * @param x - `[..., seq, headDim]`, usually `[batch, heads, seq, headDim]`, or `[..., seq, heads, headDim]` with layout
 * "bthd"; headDim even
 * @param cos - `[seq, headDim / 2]`: cosines of position · frequency, made in float64 on the host; more rows with `start`
 * @param sin - the shape of `cos`
 * @returns the shape of `x`, f32 (f64 where `x` is)
 * @see Su et al. 2021, eq. 34, https://arxiv.org/abs/2104.09864 (there neighbouring values are paired)
 */
export function rope(x: Tensor, cos: Tensor, sin: Tensor, options: RopeOptions = {}): Tensor {
  return ropeTogether([x], cos, sin, options)[0];
}

/** `rope` of several tensors with the same tables in one dispatch, as of queries and keys; their numbers of heads may differ. */
export function ropeTogether(
  xs: readonly Tensor[],
  cos: Tensor,
  sin: Tensor,
  { layout = "bhtd", start }: RopeOptions = {},
): Tensor[] {
  const attrsNow = (): RopeAttrs => ({
    sign: 1,
    heads: layout === "bthd",
    start: typeof start === "function" ? start() : start,
  });
  return apply(
    ropeOp,
    [...xs, cos, sin],
    typeof start === "function" ? everyStep(attrsNow, changesNothing) : attrsNow(),
  );
}
