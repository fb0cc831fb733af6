import {
  reshape,
  ropeTogether,
  ShapeError,
  scaledDotProductAttention,
  show,
  type Tensor,
} from "@graft/tensor";
import type { KvCache } from "./kvCache.ts";
import type { LayerOptions, LinearLike } from "./layer.ts";
import { linearOf } from "./linear.ts";
import { Module } from "./module.ts";
import type { Rotary } from "./rotary.ts";

export interface AttentionOptions extends LayerOptions {
  readonly embedDim: number;
  readonly numHeads: number;
  /** Heads of keys and values; several query heads share one. Default: numHeads. */
  readonly numKvHeads?: number;
  /** Default: embedDim / numHeads. */
  readonly headDim?: number;
  /** Biases of the projections of q, k and v, and of the output. Default false. */
  readonly qkvBias?: boolean;
  readonly outBias?: boolean;
  /** Rotates queries and keys by position; without it the layer knows no positions. */
  readonly rotary?: Rotary;
  /** Each position sees itself and the `window − 1` before it. Default: all before it. */
  readonly window?: number;
}

/** What one forward pass knows beside its input. */
export interface AttentionContext {
  /** Keys and values of earlier positions, extended by this call. */
  readonly cache?: KvCache;
  /** Number of the layer in the cache. */
  readonly layer?: number;
}

/** Causal self-attention with grouped-query heads and rotary positions. Fields are named as Llama's checkpoints. */
export class Attention extends Module {
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly window: number | undefined;
  readonly #rotary: Rotary | undefined;
  q_proj: LinearLike;
  k_proj: LinearLike;
  v_proj: LinearLike;
  o_proj: LinearLike;

  constructor(options: AttentionOptions) {
    super();
    const { embedDim, numHeads, qkvBias = false, outBias = false } = options;
    this.numHeads = numHeads;
    this.numKvHeads = options.numKvHeads ?? numHeads;
    this.headDim = options.headDim ?? embedDim / numHeads;
    this.window = options.window;
    this.#rotary = options.rotary;
    if (!Number.isInteger(this.headDim))
      throw new ShapeError(
        "Attention",
        `embedDim (${embedDim}) must be divisible by numHeads (${numHeads}).`,
      );
    if (numHeads % this.numKvHeads !== 0)
      throw new ShapeError(
        "Attention",
        `numHeads (${numHeads}) must be divisible by numKvHeads (${this.numKvHeads}).`,
      );
    const { device, generator, dtype, linear } = options;
    const given = { device, generator, dtype, linear };
    const kvDim = this.numKvHeads * this.headDim;
    this.q_proj = linearOf(embedDim, numHeads * this.headDim, { ...given, bias: qkvBias });
    this.k_proj = linearOf(embedDim, kvDim, { ...given, bias: qkvBias });
    this.v_proj = linearOf(embedDim, kvDim, { ...given, bias: qkvBias });
    this.o_proj = linearOf(numHeads * this.headDim, embedDim, { ...given, bias: outBias });
  }

  /** @param x - `[batch, seq, embed]`; returns the same shape */
  forward(x: Tensor, { cache, layer = 0 }: AttentionContext = {}): Tensor {
    if (x.shape.length !== 3)
      throw new ShapeError("Attention", `x must be [batch, seq, embed], got ${show(x.shape)}.`);
    const [batch, seq] = x.shape;
    let q = inHeads(this.q_proj.forward(x), this.numHeads, this.headDim);
    let k = inHeads(this.k_proj.forward(x), this.numKvHeads, this.headDim);
    let v = inHeads(this.v_proj.forward(x), this.numKvHeads, this.headDim);
    if (this.#rotary !== undefined) {
      const { cos, sin } = this.#rotary.upTo(Math.max(cache?.capacity ?? 0, (cache?.length ?? 0) + seq));
      [q, k] = ropeTogether([q, k], cos, sin, {
        layout,
        start: cache === undefined ? 0 : () => cache.length,
      });
    }
    let keys: (() => number) | undefined;
    if (cache !== undefined) ({ keys: k, values: v, count: keys } = cache.extend(layer, k, v));
    const y = scaledDotProductAttention(q, k, v, { layout, causal: true, window: this.window, keys });
    return this.o_proj.forward(reshape(y, [batch, seq, this.numHeads * this.headDim]));
  }

  /** Also frees the rotary tables; layers that share them make them again when they need them. */
  override dispose(): void {
    this.#rotary?.[Symbol.dispose]();
    super.dispose();
  }
}

/** What projections give, and attention takes: no values move in between. */
const layout = "bthd";

/** `[batch, seq, heads · headDim]` as `[batch, seq, heads, headDim]`. */
function inHeads(x: Tensor, heads: number, headDim: number): Tensor {
  const [batch, seq] = x.shape;
  return reshape(x, [batch, seq, heads, headDim]);
}
