import {
  add,
  cast,
  type Device,
  type DType,
  reshape,
  ShapeError,
  scaledDotProductAttention,
  slice,
  type Tensor,
  unbind,
} from "@graft/tensor";
import type { AttentionContext } from "../attention.ts";
import { Block } from "../block.ts";
import { conv1DOf } from "../conv1D.ts";
import { Embedding } from "../embedding.ts";
import { activations } from "../feedForward.ts";
import type { KvCache } from "../kvCache.ts";
import type { LayerOptions, LinearLike } from "../layer.ts";
import { LayerNorm } from "../layerNorm.ts";
import { Linear } from "../linear.ts";
import { Module } from "../module.ts";
import { rowsFrom } from "../rowsFrom.ts";
import type { CausalLM } from "./causalLM.ts";
import type { GPT2Config } from "./gpt2Config.ts";

/** Standard deviation of the first weights, as transformers. */
const STD = 0.02;

/** Causal self-attention whose queries, keys and values come from one matrix. */
export class GPT2Attention extends Module {
  readonly numHeads: number;
  readonly headDim: number;
  c_attn: LinearLike;
  c_proj: LinearLike;

  constructor(
    { hiddenSize, numAttentionHeads, headDim, numHiddenLayers }: GPT2Config,
    options: LayerOptions,
  ) {
    super();
    this.numHeads = numAttentionHeads;
    this.headDim = headDim;
    this.c_attn = conv1DOf(hiddenSize, 3 * hiddenSize, options);
    this.c_proj = conv1DOf(hiddenSize, hiddenSize, {
      ...options,
      std: STD / Math.sqrt(2 * numHiddenLayers),
    });
  }

  /** @param x - `[batch, seq, hidden]`; returns the same shape */
  forward(x: Tensor, { cache, layer = 0 }: AttentionContext = {}): Tensor {
    const [batch, seq, hidden] = x.shape;
    const qkv = reshape(this.c_attn.forward(x), [batch, seq, 3, this.numHeads, this.headDim]);
    let [q, k, v] = unbind(qkv, 2);
    let keys: (() => number) | undefined;
    if (cache !== undefined) ({ keys: k, values: v, count: keys } = cache.extend(layer, k, v));
    q = scaledDotProductAttention(q, k, v, { layout: "bthd", causal: true, keys });
    return this.c_proj.forward(reshape(q, [batch, seq, hidden]));
  }
}

/** `c_proj(activation(c_fc(x)))` */
export class GPT2MLP extends Module {
  readonly #activation: GPT2Config["activation"];
  c_fc: LinearLike;
  c_proj: LinearLike;

  constructor(
    { hiddenSize, intermediateSize, activation, numHiddenLayers }: GPT2Config,
    options: LayerOptions,
  ) {
    super();
    this.#activation = activation;
    this.c_fc = conv1DOf(hiddenSize, intermediateSize, options);
    this.c_proj = conv1DOf(intermediateSize, hiddenSize, {
      ...options,
      std: STD / Math.sqrt(2 * numHiddenLayers),
    });
  }

  /** @param x - `[..., hidden]`; returns the same shape */
  forward(x: Tensor): Tensor {
    return this.c_proj.forward(activations[this.#activation](this.c_fc.forward(x)));
  }
}

/** One pre-norm layer: `h = x + attn(ln_1(x))`, `y = h + mlp(ln_2(h))`. */
export class GPT2Block extends Block {
  ln_1: LayerNorm;
  attn: GPT2Attention;
  ln_2: LayerNorm;
  mlp: GPT2MLP;

  constructor(config: GPT2Config, options: LayerOptions) {
    super();
    const { hiddenSize, layerNormEps: eps } = config;
    this.ln_1 = new LayerNorm(hiddenSize, { device: options.device, eps });
    this.attn = new GPT2Attention(config, options);
    this.ln_2 = new LayerNorm(hiddenSize, { device: options.device, eps });
    this.mlp = new GPT2MLP(config, options);
  }

  protected override run(x: Tensor, context: AttentionContext): Tensor {
    const h = add(x, this.attn.forward(this.ln_1.forward(x), context));
    return add(h, this.mlp.forward(this.ln_2.forward(h)));
  }
}

/** The decoder without its head: embeddings of tokens and positions, layers, last norm. */
export class GPT2Model extends Module {
  wte: Embedding;
  wpe: Embedding;
  h: GPT2Block[];
  ln_f: LayerNorm;

  constructor(config: GPT2Config, options: LayerOptions) {
    super();
    const { vocabSize, maxPositionEmbeddings, hiddenSize, numHiddenLayers, layerNormEps: eps } = config;
    this.wte = new Embedding(vocabSize, hiddenSize, { ...options, std: STD });
    this.wpe = new Embedding(maxPositionEmbeddings, hiddenSize, { ...options, std: STD });
    this.h = Array.from({ length: numHiddenLayers }, () => new GPT2Block(config, options));
    this.ln_f = new LayerNorm(hiddenSize, { device: options.device, eps });
  }

  /** @param ids - `[batch, seq]`; returns `[batch, seq, hidden]` */
  forward(ids: Tensor, { cache }: { cache?: KvCache } = {}): Tensor {
    const seq = ids.shape[1];
    const tokens = this.wte.forward(ids);
    let x = add(tokens, this.#positions(seq, tokens.dtype, cache));
    for (const [layer, block] of this.h.entries()) x = block.forward(x, { cache, layer });
    cache?.advance(seq);
    return this.ln_f.forward(x);
  }

  /** The vectors of the `seq` positions that come after what the cache holds, `[seq, hidden]`. */
  #positions(seq: number, dtype: DType, cache: KvCache | undefined): Tensor {
    const { weight } = this.wpe;
    const [most] = weight.shape;
    const checked = (start: number): number => {
      if (start + seq <= most) return start;
      throw new ShapeError(
        "GPT2Model",
        `a text must have at most ${most} tokens, the positions that this model learned, got ${start + seq}. Cut it.`,
      );
    };
    if (cache === undefined) return cast(slice(weight, 0, checked(0), seq), dtype);
    return rowsFrom(weight, () => checked(cache.length), seq);
  }
}

/**
 * GPT-2: a decoder with learned positions, LayerNorm and a feed-forward of tanh-GELU, its head tied to the embedding.
 * Fields are named as in transformers' checkpoints, and matrices lie as there (`Conv1D`).
 * @see Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"
 */
export class GPT2LMHeadModel extends Module implements CausalLM {
  readonly config: GPT2Config;
  transformer: GPT2Model;
  lm_head: LinearLike;

  constructor(config: GPT2Config, options: LayerOptions) {
    super();
    this.config = config;
    this.transformer = new GPT2Model(config, options);
    const { hiddenSize, vocabSize } = config;
    const tied = config.tieWordEmbeddings ? this.transformer.wte.weight : undefined;
    this.lm_head = new Linear(hiddenSize, vocabSize, { ...options, bias: false, weight: tied });
  }

  get device(): Device {
    return this.transformer.ln_f.weight.device;
  }

  get tokenEmbedding(): Module {
    return this.transformer.wte;
  }

  /**
   * Scores of the next token at every position.
   * @param ids - token ids `[batch, seq]`, i32
   * @param options.cache - keys and values of earlier positions; extended by this call
   * @returns logits `[batch, seq, vocab]`
   */
  forward(ids: Tensor, options: { cache?: KvCache } = {}): Tensor {
    return this.lm_head.forward(this.hidden(ids, options));
  }

  /** The states that the head reads, `[batch, seq, hidden]`: for losses and generation that need only some positions. */
  hidden(ids: Tensor, options: { cache?: KvCache } = {}): Tensor {
    return this.transformer.forward(ids, options);
  }
}
