import { DTypeError, ShapeError, ValueError } from "../../errors.ts";
import { sameShape, show } from "../../shape.ts";
import type { Meta } from "../op.ts";

/** The order of the axes of q, k, v and y: batch, heads, time, head dimension. PyTorch's is "bhtd". */
export type AttentionLayout = "bhtd" | "bthd";

export interface AttentionAttrs {
  readonly layout: AttentionLayout;
  /** Multiplies the scores. */
  readonly scale: number;
  /** Query i, at position i + keys − queries, sees only keys up to its position. */
  readonly causal: boolean;
  /** It sees only the last `window` of those; Infinity: all. */
  readonly window: number;
  /** The first keys of k and v that hold values; may change from step to step. */
  readonly keys: number;
}

/** Strides of an operand, in elements; the last axis has 1. */
export interface Strides {
  readonly batch: number;
  readonly head: number;
  readonly row: number;
}

/** Attention as kernels see it. */
export interface AttentionPlan {
  readonly batch: number;
  readonly heads: number;
  readonly kvHeads: number;
  /** Query heads that share a key head. */
  readonly group: number;
  readonly queries: number;
  /** Keys that k has room for. */
  readonly capacity: number;
  readonly headDim: number;
  readonly valueDim: number;
  /** Of q; of k; of v; of y. */
  readonly q: Strides;
  readonly k: Strides;
  readonly v: Strides;
  readonly y: Strides;
  /** A query at position p sees the keys j with p − behind ≤ j ≤ p + ahead. */
  readonly ahead: number;
  readonly behind: number;
}

/** Farther than any position, and far from the largest i32. */
const FAR = 2 ** 29;

const WHO = "scaledDotProductAttention";

/** Checks shapes and types of q, k, v and segments, and resolves the layout into strides. */
export function planAttention(inputs: readonly Meta[], attrs: AttentionAttrs): AttentionPlan {
  const [q, k, v, segments] = inputs;
  const { layout, causal, window, keys } = attrs;
  checkAttention(inputs, layout);
  const [batch, heads, queries, headDim] = sizes(q, layout);
  const [, kvHeads, capacity] = sizes(k, layout);
  const valueDim = v.shape[3];
  if (segments !== undefined) {
    if (!sameShape(segments.shape, [batch, capacity]))
      throw new ShapeError(
        WHO,
        `segments must be [batch, keys] ${show([batch, capacity])}, got ${show(segments.shape)}.`,
      );
    if (segments.dtype !== "i32")
      throw new DTypeError(WHO, `segments must be i32, got ${segments.dtype}. Use cast.`);
    if (queries > keys)
      throw new ShapeError(
        WHO,
        `segments need at least as many keys as queries, got ${keys} and ${queries}.`,
      );
  }
  if (!(Number.isInteger(keys) && keys >= 0 && keys <= capacity))
    throw new ValueError(WHO, `keys must be a whole number up to ${capacity}, the keys of k, got ${keys}.`);
  if (window !== Infinity && !(Number.isInteger(window) && window > 0 && causal))
    throw new ValueError(WHO, `window must be a whole number from 1, and needs causal, got ${window}.`);
  return {
    batch,
    heads,
    kvHeads,
    group: heads / kvHeads,
    queries,
    capacity,
    headDim,
    valueDim,
    q: strides(layout, heads, queries, headDim),
    k: strides(layout, kvHeads, capacity, headDim),
    v: strides(layout, kvHeads, capacity, valueDim),
    y: strides(layout, heads, queries, valueDim),
    ahead: causal ? 0 : FAR,
    behind: Math.min(FAR, window - 1),
  };
}

/** The shape of a tensor of `rows` positions in a layout. */
export function inLayout(layout: AttentionLayout, [batch, heads, rows, dim]: readonly number[]): number[] {
  return layout === "bhtd" ? [batch, heads, rows, dim] : [batch, rows, heads, dim];
}

/** batch, heads, rows and head dimension of a tensor in a layout. */
export function sizes({ shape }: Meta, layout: AttentionLayout): readonly number[] {
  return layout === "bhtd" ? shape : [shape[0], shape[2], shape[1], shape[3]];
}

function strides(layout: AttentionLayout, heads: number, rows: number, dim: number): Strides {
  const batch = heads * rows * dim;
  return layout === "bhtd" ? { batch, head: rows * dim, row: dim } : { batch, head: dim, row: heads * dim };
}

/** The checks of q, k and v, in the words that users read. */
export function checkAttention([q, k, v]: readonly Meta[], layout: AttentionLayout): void {
  type Size = string | number;
  const axes = (h: Size, t: Size, d: Size, b: Size = "batch") =>
    layout === "bhtd" ? `[${b}, ${h}, ${t}, ${d}]` : `[${b}, ${t}, ${h}, ${d}]`;
  for (const [name, x, text] of [
    ["q", q, axes("heads", "seq", "headDim")],
    ["k", k, axes("kvHeads", "keys", "headDim")],
    ["v", v, axes("kvHeads", "keys", "valueDim")],
  ] as const) {
    if (x.shape.length !== 4) throw new ShapeError(WHO, `${name} must be ${text}, got ${show(x.shape)}.`);
  }
  const [batch, heads, , headDim] = sizes(q, layout);
  const [kBatch, kvHeads, keys, kDim] = sizes(k, layout);
  const [vBatch, vHeads, vKeys] = sizes(v, layout);
  if (kBatch !== batch || kDim !== headDim)
    throw new ShapeError(
      WHO,
      `k must be ${axes("kvHeads", "keys", headDim, batch)} for q ${show(q.shape)}, got ${show(k.shape)}.`,
    );
  if (vBatch !== batch || vHeads !== kvHeads || vKeys !== keys)
    throw new ShapeError(
      WHO,
      `v must be ${axes(kvHeads, keys, "valueDim", batch)} for k ${show(k.shape)}, got ${show(v.shape)}.`,
    );
  if (kvHeads === 0 || heads % kvHeads !== 0)
    throw new ShapeError(WHO, `heads must be a multiple of kvHeads, got ${heads} and ${kvHeads}.`);
}
