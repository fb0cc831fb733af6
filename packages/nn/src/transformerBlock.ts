import { add, checkpoint, structureChanged, type Tensor } from "@graft/tensor";
import type { Attention, AttentionContext } from "./attention.ts";
import { Module } from "./module.ts";
import type { TensorModule } from "./sequential.ts";

/**
 * One pre-norm decoder layer: `h = x + attention(norm₁(x))`, `y = h + mlp(norm₂(h))`. The parts are given, so that any
 * norm, attention or feed-forward fits. Fields are named as Llama's checkpoints.
 */
export class TransformerBlock extends Module {
  self_attn: Attention;
  mlp: TensorModule;
  input_layernorm: TensorModule;
  post_attention_layernorm: TensorModule;
  #gradientCheckpointing = false;

  constructor(parts: {
    attention: Attention;
    feedForward: TensorModule;
    attentionNorm: TensorModule;
    feedForwardNorm: TensorModule;
  }) {
    super();
    this.self_attn = parts.attention;
    this.mlp = parts.feedForward;
    this.input_layernorm = parts.attentionNorm;
    this.post_attention_layernorm = parts.feedForwardNorm;
  }

  /** Backward keeps the input alone and runs the block again: memory for a third more time. Default false. */
  get gradientCheckpointing(): boolean {
    return this.#gradientCheckpointing;
  }

  set gradientCheckpointing(mode: boolean) {
    if (mode !== this.#gradientCheckpointing) structureChanged();
    this.#gradientCheckpointing = mode;
  }

  /** @param x - `[batch, seq, embed]`; returns the same shape */
  forward(x: Tensor, context: AttentionContext = {}): Tensor {
    // With a cache a second run would append the keys again.
    return this.#gradientCheckpointing && context.cache === undefined
      ? checkpoint((given) => this.#block(given, context), x)
      : this.#block(x, context);
  }

  #block(x: Tensor, context: AttentionContext): Tensor {
    const h = add(x, this.self_attn.forward(this.input_layernorm.forward(x), context));
    return add(h, this.mlp.forward(this.post_attention_layernorm.forward(h)));
  }
}
