import { isFloat } from "../dtype.ts";
import { DTypeError, ShapeError } from "../errors.ts";
import { scope } from "../scope.ts";
import { resolveAxis, show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import type { Meta } from "./op.ts";
import { transpose } from "./permute.ts";

/** A tensor as rows along its last axis: what softmax, the norms and the loss work on. */
export interface Rows {
  readonly rows: number;
  readonly n: number;
}

export function rowsOf({ shape }: Meta): Rows {
  return { rows: sizeOf(shape.slice(0, -1)), n: shape[shape.length - 1] };
}

/** Throws unless `x` is of a float type and has a last axis. */
export function checkRows(who: string, name: string, x: Meta): void {
  if (!isFloat(x.dtype))
    throw new DTypeError(who, `${name} must be a float type, got ${x.dtype}. Use cast first.`);
  if (x.shape.length === 0) throw new ShapeError(who, `${name} must have at least one axis, got [].`);
}

/** Runs a function of rows along another axis, by exchanging that axis with the last one before and after. */
export function alongAxis(who: string, x: Tensor, axis: number, fn: (x: Tensor) => Tensor): Tensor {
  const rank = x.shape.length;
  checkRows(who, "x", x);
  const at = resolveAxis(axis, rank);
  if (at === undefined)
    throw new ShapeError(who, `axis must be in [${-rank}, ${rank}), got ${axis} for ${show(x.shape)}.`);
  return at === rank - 1 ? fn(x) : scope(() => transpose(fn(transpose(x, at, -1)), at, -1));
}

/** Invocations that share a row of `n` values. At most 256, the default limit of a workgroup. */
export function lanesFor(n: number): number {
  return n <= 32 ? 32 : n <= 256 ? 64 : n <= 2048 ? 128 : 256;
}

/**
 * WGSL functions `fold_sum` and `fold_max`: every lane gives a value, every lane gets the total. They add up in a tree,
 * in a fixed order, and contain barriers: call them where all lanes of the workgroup arrive.
 */
export function foldFunctions(...kinds: readonly ("sum" | "max")[]): string {
  const combine = { sum: "a + b", max: "max(a, b)" };
  const functions = kinds.map(
    (kind) => `fn fold_${kind}(lane: u32, value: f32) -> f32 {
  fold_values[lane] = value;
  workgroupBarrier();
  for (var half = lanes / 2u; half > 0u; half /= 2u) {
    if (lane < half) { let a = fold_values[lane]; let b = fold_values[lane + half]; fold_values[lane] = ${combine[kind]}; }
    workgroupBarrier();
  }
  let total = fold_values[0];
  workgroupBarrier();
  return total;
}`,
  );
  return ["var<workgroup> fold_values: array<f32, lanes>;", ...functions].join("\n");
}
