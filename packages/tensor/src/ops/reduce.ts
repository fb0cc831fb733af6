import type { View } from "../device/device.ts";
import { ShapeError } from "../errors.ts";
import { type Shape, show, sizeOf } from "../shape.ts";
import { axisOf } from "./axis.ts";
import type { Kernel } from "./kernel.ts";

/** `axes` as ascending axis numbers; all of them where undefined. */
export function reducedAxes(
  who: string,
  shape: Shape,
  axes: number | readonly number[] | undefined,
): number[] {
  if (axes === undefined) return shape.map((_, i) => i);
  const list = typeof axes === "number" ? [axes] : axes;
  const resolved = list.map((axis) => axisOf(who, shape, axis));
  if (new Set(resolved).size !== resolved.length)
    throw new ShapeError(who, `axes must differ, got ${show(list)}.`);
  return resolved.sort((a, b) => a - b);
}

/** The shape with the reduced axes removed, or of size 1 where `keepDim`. */
export function reducedShape(shape: Shape, axes: readonly number[], keepDim: boolean): number[] {
  return keepDim
    ? shape.map((dim, i) => (axes.includes(i) ? 1 : dim))
    : shape.filter((_, i) => !axes.includes(i));
}

/** A tensor as [outer, n, inner], where n is the reduced part. Only for axes that lie side by side. */
export interface Span {
  readonly outer: number;
  readonly n: number;
  readonly inner: number;
}

/** The span of a reduction, or undefined where its axes do not lie side by side. */
export function spanOf(shape: Shape, axes: readonly number[]): Span | undefined {
  const wide = axes.filter((axis) => shape[axis] !== 1);
  if (wide.length === 0) return { outer: sizeOf(shape), n: 1, inner: 1 };
  const first = wide[0];
  const last = wide[wide.length - 1];
  for (let axis = first; axis <= last; axis++)
    if (shape[axis] !== 1 && !wide.includes(axis)) return undefined;
  return {
    outer: sizeOf(shape.slice(0, first)),
    n: sizeOf(shape.slice(first, last + 1)),
    inner: sizeOf(shape.slice(last + 1)),
  };
}

const LANES = 64;

/**
 * Reduces each row of a span to one value. One workgroup a row where rows are long and few values lie between their
 * elements: lanes stride along the row, then fold in a tree; one invocation a row otherwise. The order is fixed.
 */
export function reduceKernel(
  x: View,
  out: View,
  span: Span,
  spec: {
    key: string;
    type: "f32" | "i32" | "u32";
    start: string;
    fold: (a: string, b: string) => string;
    finish?: (a: string) => string;
    load?: (x: string) => string;
  },
): Kernel {
  const rows = span.outer * span.inner;
  const wide = span.inner === 1 && span.n >= LANES;
  const finish = spec.finish ?? ((a) => a);
  const load = spec.load ?? ((v) => v);
  const common = {
    count: rows,
    bindings: [
      { name: "x", view: x, access: "read" },
      { name: "y", view: out, access: "write" },
    ],
    params: [
      ["n", "u32", span.n],
      ["inner", "u32", span.inner],
    ],
  } as const;
  if (!wide) {
    return {
      ...common,
      key: `${spec.key}|row`,
      over: "element",
      main: () => `let start = (i / P.inner) * P.n * P.inner + i % P.inner;
  var sum = ${spec.start};
  for (var k = 0u; k < P.n; k++) { let v = ${load("x_at(start + k * P.inner)")}; sum = ${spec.fold("sum", "v")}; }
  y_put(i, ${finish("sum")});`,
    };
  }
  return {
    ...common,
    key: `${spec.key}|tree`,
    over: "group",
    lanes: LANES,
    declare: () => `var<workgroup> partial: array<${spec.type}, ${LANES}>;`,
    main: () => `let start = group * P.n;
  var sum = ${spec.start};
  for (var k = lane; k < P.n; k += lanes) { let v = ${load("x_at(start + k)")}; sum = ${spec.fold("sum", "v")}; }
  partial[lane] = sum;
  workgroupBarrier();
  for (var half = lanes / 2u; half > 0u; half /= 2u) {
    if (lane < half) { let a = partial[lane]; let b = partial[lane + half]; partial[lane] = ${spec.fold("a", "b")}; }
    workgroupBarrier();
  }
  if (lane == 0u) { y_put(group, ${finish("partial[0]")}); }`,
  };
}
