import type { View } from "../device/device.ts";
import { isFloat } from "../dtype.ts";
import { DTypeError, ShapeError } from "../errors.ts";
import { scope } from "../scope.ts";
import { resolveAxis, show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import type { Binding, GpuInfo } from "./kernel.ts";
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

/** How the lanes of a workgroup go over a row: in loads of one value, or of four where their number allows it. */
export interface RowFrame {
  readonly wide: boolean;
  /** Loads of a row. */
  readonly loads: number;
  readonly lanes: number;
  /** True where a workgroup is one subgroup, which needs no barrier. */
  readonly subgroups: boolean;
  /** WGSL type of a load. */
  readonly type: "f32" | "vec4f";
  /** WGSL of `fold_sum` and `fold_max`, as `foldFunctions` gives them. */
  fold(...kinds: readonly ("sum" | "max")[]): string;
  /** A view as a binding: of vec4s where it can be. */
  bind(name: string, view: View, access: Binding["access"]): Binding;
  /** The k-th load of a binding. */
  load(binding: Binding, k: string): string;
  /** Writes load k of a binding; only f32 views that begin at a multiple of 4 values can be written wide. */
  store(binding: Binding, k: string, value: string): string;
  /** The sum of a load's values. */
  total(value: string): string;
}

/** Loads that a lane of a subgroup should have of a row at most, where memory shared by more lanes would hide their latency. */
const MOST_LOADS = 8;

/**
 * The frame for rows of `n` values that kernels read and write. One subgroup a row where its size is known and the row is
 * short, or where a CPU computes, for which a barrier is dear; more lanes with a tree in shared memory otherwise.
 */
export function rowFrame(n: number, gpu: GpuInfo, written: readonly View[]): RowFrame {
  const wide = n % 4 === 0 && written.every((view) => isWide(view));
  const loads = wide ? n / 4 : n;
  const size = gpu.subgroups ? gpu.subgroupSize : 0;
  const subgroups = size > 0 && (gpu.software || loads <= MOST_LOADS * size);
  return {
    wide,
    loads,
    lanes: subgroups ? size : lanesFor(n),
    subgroups,
    type: wide ? "vec4f" : "f32",
    fold: (...kinds) => (subgroups ? subgroupFolds(kinds) : foldFunctions(...kinds)),
    bind: (name, view, access) => ({ name, view, access, as: wide && isWide(view) ? "vec4" : undefined }),
    load({ name, as }, k) {
      if (!wide) return `${name}_at(${k})`;
      if (as === "vec4") return `${name}_at4(${k})`;
      return `vec4f(${[0, 1, 2, 3].map((j) => `${name}_at((${k}) * 4u + ${j}u)`).join(", ")})`;
    },
    store: ({ name }, k, value) => `${name}_${wide ? "put4" : "put"}(${k}, ${value});`,
    total: (value) => (wide ? `dot(${value}, vec4f(1.0f))` : value),
  };
}

const isWide = ({ dtype, offset }: View): boolean => dtype === "f32" && offset % 4 === 0;

const subgroupFolds = (kinds: readonly ("sum" | "max")[]): string =>
  kinds
    .map(
      (kind) =>
        `fn fold_${kind}(lane: u32, value: f32) -> f32 { return ${{ sum: "subgroupAdd", max: "subgroupMax" }[kind]}(value); }`,
    )
    .join("\n");

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
