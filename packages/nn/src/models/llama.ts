import type { Device, DType, Generator, Tensor } from "@graft/tensor";
import { Attention } from "../attention.ts";
import { Embedding } from "../embedding.ts";
import { GatedFeedForward } from "../feedForward.ts";
import type { KvCache } from "../kvCache.ts";
import type { LinearFactory, LinearLike } from "../layer.ts";
import { Linear, linearOf } from "../linear.ts";
import { Module } from "../module.ts";
import { RMSNorm } from "../rmsNorm.ts";
import { Rotary } from "../rotary.ts";
import { TransformerBlock } from "../transformerBlock.ts";
import type { CausalLM } from "./causalLM.ts";
import type { LlamaConfig } from "./config.ts";

export interface LlamaOptions {
  readonly device: Device;
  /** Draws initial weights, N(0, 0.02²) as transformers' default. Without one they are left for a checkpoint to fill. */
  readonly generator?: Generator;
  /** Type in which matrices are stored. Default "f32". */
  readonly dtype?: DType;
  /** Makes every linear layer, in place of dense ones; a head that is tied to the embedding stays dense. */
  readonly linear?: LinearFactory;
}

/** The decoder without its head: embedding, layers, last norm. */
export class LlamaModel extends Module {
  embed_tokens: Embedding;
  layers: TransformerBlock[];
  norm: RMSNorm;

  constructor(config: LlamaConfig, { device, generator, dtype = "f32", linear }: LlamaOptions) {
    super();
    const { hiddenSize, headDim, rmsNormEps: eps } = config;
    const options = { device, generator, dtype, linear };
    const rotary = new Rotary(device, { theta: config.ropeTheta, headDim, scaling: config.ropeScaling });
    this.embed_tokens = new Embedding(config.vocabSize, hiddenSize, { ...options, std: 0.02 });
    this.layers = Array.from(
      { length: config.numHiddenLayers },
      () =>
        new TransformerBlock({
          attentionNorm: new RMSNorm(hiddenSize, { device, eps }),
          attention: new Attention({
            ...options,
            embedDim: hiddenSize,
            numHeads: config.numAttentionHeads,
            numKvHeads: config.numKeyValueHeads,
            headDim,
            qkvBias: config.qkvBias,
            outBias: config.outBias,
            window: config.slidingWindow,
            rotary,
          }),
          feedForwardNorm: new RMSNorm(hiddenSize, { device, eps }),
          feedForward: new GatedFeedForward({
            ...options,
            embedDim: hiddenSize,
            hiddenDim: config.intermediateSize,
            bias: config.mlpBias,
            activation: config.hiddenAct,
          }),
        }),
    );
    this.norm = new RMSNorm(hiddenSize, { device, eps });
  }

  /** @param ids - `[batch, seq]`; returns `[batch, seq, hidden]` */
  forward(ids: Tensor, { cache }: { cache?: KvCache } = {}): Tensor {
    let x = this.embed_tokens.forward(ids);
    for (const [layer, block] of this.layers.entries()) x = block.forward(x, { cache, layer });
    cache?.advance(ids.shape[1]);
    return this.norm.forward(x);
  }
}

/**
 * Llama 2 and 3, SmolLM2, Mistral and Qwen2: a decoder with grouped-query attention, rotary positions, RMS norms and
 * SwiGLU. Fields are named as in transformers' checkpoints.
 * @see Touvron et al. 2023, https://arxiv.org/abs/2307.09288
 */
export class LlamaForCausalLM extends Module implements CausalLM {
  readonly config: LlamaConfig;
  model: LlamaModel;
  lm_head: LinearLike;

  constructor(config: LlamaConfig, options: LlamaOptions) {
    super();
    this.config = config;
    this.model = new LlamaModel(config, options);
    const { hiddenSize, vocabSize } = config;
    this.lm_head = config.tieWordEmbeddings
      ? new Linear(hiddenSize, vocabSize, { ...options, bias: false, weight: this.model.embed_tokens.weight })
      : linearOf(hiddenSize, vocabSize, { ...options, bias: false });
  }

  get device(): Device {
    return this.model.norm.weight.device;
  }

  get tokenEmbedding(): Module {
    return this.model.embed_tokens;
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
    return this.model.forward(ids, options);
  }
}
