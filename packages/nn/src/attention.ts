import {
  fromArray,
  permute,
  reshape,
  rope,
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
    const start = cache?.length ?? 0;
    let q = this.#heads(this.q_proj.forward(x), this.numHeads);
    let k = this.#heads(this.k_proj.forward(x), this.numKvHeads);
    let v = this.#heads(this.v_proj.forward(x), this.numKvHeads);
    if (this.#rotary !== undefined) {
      const { cos, sin } = this.#rotary.at(start, seq);
      q = rope(q, cos, sin);
      k = rope(k, cos, sin);
    }
    if (cache !== undefined) ({ keys: k, values: v } = cache.extend(layer, k, v));
    const outside = this.window !== undefined && start + seq > this.window;
    const y = outside
      ? scaledDotProductAttention(q, k, v, { mask: this.#windowMask(x, start, seq) })
      : scaledDotProductAttention(q, k, v, { causal: true });
    return this.o_proj.forward(reshape(permute(y, [0, 2, 1, 3]), [batch, seq, this.numHeads * this.headDim]));
  }

  /** Also frees the rotary tables; layers that share them make them again when they need them. */
  override dispose(): void {
    this.#rotary?.[Symbol.dispose]();
    super.dispose();
  }

  /** `[batch, seq, heads · headDim]` as `[batch, heads, seq, headDim]`. */
  #heads(x: Tensor, heads: number): Tensor {
    const [batch, seq] = x.shape;
    return permute(reshape(x, [batch, seq, heads, this.headDim]), [0, 2, 1, 3]);
  }

  /** `[seq, keys]`, true where a query may look. */
  #windowMask(x: Tensor, start: number, seq: number): Tensor {
    const keys = start + seq;
    const window = this.window ?? keys;
    const may = Array.from({ length: seq * keys }, (_, at) => {
      const query = start + Math.floor(at / keys);
      const key = at % keys;
      return key <= query && key > query - window ? 1 : 0;
    });
    return fromArray(x.device, may, [seq, keys], { dtype: "bool" });
  }
}
