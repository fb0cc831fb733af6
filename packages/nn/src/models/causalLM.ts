import type { Device, Tensor } from "@graft/tensor";
import type { KvCache } from "../kvCache.ts";
import type { LinearLike } from "../layer.ts";
import type { Module } from "../module.ts";

/** What code that trains and generates needs to know of a model, whatever its family. */
export interface CausalLMConfig {
  readonly modelType: string;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  /** Width of the feed-forward. */
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  /** Positions that the model was made for; a model with learned positions has no more. */
  readonly maxPositionEmbeddings: number;
  /** The output head is the embedding table. */
  readonly tieWordEmbeddings: boolean;
}

/** A decoder with a head over the vocabulary: the families differ in nothing that a trainer has to know. */
export interface CausalLM extends Module {
  readonly config: CausalLMConfig;
  readonly device: Device;
  /** The table of the tokens' vectors. */
  readonly tokenEmbedding: Module;
  /** `[..., hidden]` to `[..., vocab]` */
  lm_head: LinearLike;
  /** @param ids - `[batch, seq]`, i32; returns the states that the head reads, `[batch, seq, hidden]` */
  hidden(ids: Tensor, options?: { cache?: KvCache }): Tensor;
  /** @param ids - `[batch, seq]`, i32; returns logits `[batch, seq, vocab]` */
  forward(ids: Tensor, options?: { cache?: KvCache }): Tensor;
}
