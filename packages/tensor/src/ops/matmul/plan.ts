import { ShapeError } from "../../errors.ts";
import { broadcastShapes, broadcastStrides, collapse, type Shape, show, sizeOf } from "../../shape.ts";
import type { Meta } from "../op.ts";

export interface MatmulAttrs {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** A batched product as kernels see it: y[b, m, n] = Σ_k a[…] · c[…], every stride in elements. */
export interface MatmulPlan {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Batch axes, collapsed; strides of a and b over them. */
  readonly batch: readonly number[];
  readonly batchStridesA: readonly number[];
  readonly batchStridesB: readonly number[];
  readonly batchShape: Shape;
  readonly aRow: number;
  readonly aCol: number;
  readonly bRow: number;
  readonly bCol: number;
}

/** Checks the shapes, in the name of `who`, and resolves transposition and batch broadcasting into strides. */
export function planMatmul(
  a: Meta,
  b: Meta,
  { transposeA, transposeB }: MatmulAttrs,
  who = "matmul",
): MatmulPlan {
  if (a.shape.length < 2 || b.shape.length < 2) {
    throw new ShapeError(
      who,
      `a and b must have at least two axes, got ${show(a.shape)} and ${show(b.shape)}.`,
    );
  }
  const [a0, a1] = a.shape.slice(-2);
  const [b0, b1] = b.shape.slice(-2);
  const m = transposeA ? a1 : a0;
  const k = transposeA ? a0 : a1;
  const kOfB = transposeB ? b1 : b0;
  const n = transposeB ? b0 : b1;
  if (k !== kOfB) {
    const remedy =
      k === (transposeB ? b0 : b1)
        ? ` Did you mean ${transposeB ? "b without transposeB" : "transposeB"}?`
        : "";
    throw new ShapeError(
      who,
      `inner sizes must agree, got a ${show(a.shape)}${transposeA ? " transposed" : ""} and b ${show(b.shape)}${transposeB ? " transposed" : ""} (${k} and ${kOfB}).${remedy}`,
    );
  }
  const batchA = a.shape.slice(0, -2);
  const batchB = b.shape.slice(0, -2);
  const batchShape = broadcastShapes([batchA, batchB]);
  if (batchShape === undefined) {
    throw new ShapeError(who, `batch axes must broadcast, got a ${show(a.shape)} and b ${show(b.shape)}.`);
  }
  const strides = [
    broadcastStrides(batchA, batchShape).map((stride) => stride * m * k),
    broadcastStrides(batchB, batchShape).map((stride) => stride * k * n),
  ];
  const flat = collapse(batchShape, strides);
  return {
    m,
    n,
    k,
    batch: flat.shape,
    batchStridesA: flat.strides[0],
    batchStridesB: flat.strides[1],
    batchShape,
    aRow: transposeA ? 1 : k,
    aCol: transposeA ? m : 1,
    bRow: transposeB ? 1 : n,
    bCol: transposeB ? k : 1,
  };
}

/** Calls `each` with the start of a, b and y for every matrix of the batch. */
export function forEachBatch(plan: MatmulPlan, each: (a: number, b: number, y: number) => void): void {
  const { batch, batchStridesA, batchStridesB } = plan;
  const index = new Array<number>(batch.length).fill(0);
  const count = sizeOf(batch);
  for (let i = 0; i < count; i++) {
    let a = 0;
    let b = 0;
    for (let axis = 0; axis < batch.length; axis++) {
      a += index[axis] * batchStridesA[axis];
      b += index[axis] * batchStridesB[axis];
    }
    each(a, b, i * plan.m * plan.n);
    for (let axis = batch.length - 1; axis >= 0; axis--) {
      if (++index[axis] < batch[axis]) break;
      index[axis] = 0;
    }
  }
}
