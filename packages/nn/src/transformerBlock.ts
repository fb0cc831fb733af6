import { add, type Tensor } from "@graft/tensor";
import type { Attention, AttentionContext } from "./attention.ts";
import { Block } from "./block.ts";
import type { TensorModule } from "./sequential.ts";

/**
 * One pre-norm decoder layer: `h = x + attention(norm₁(x))`, `y = h + mlp(norm₂(h))`. The parts are given, so that any
 * norm, attention or feed-forward fits. Fields are named as Llama's checkpoints.
 */
export class TransformerBlock extends Block {
  self_attn: Attention;
  mlp: TensorModule;
  input_layernorm: TensorModule;
  post_attention_layernorm: TensorModule;

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

  protected override run(x: Tensor, context: AttentionContext): Tensor {
    const h = add(x, this.self_attn.forward(this.input_layernorm.forward(x), context));
    return add(h, this.mlp.forward(this.post_attention_layernorm.forward(h)));
  }
}
