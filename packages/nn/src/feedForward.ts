import { gelu, mul, relu, silu, swiglu, type Tensor } from "@graft/tensor";
import type { LayerOptions, LinearLike } from "./layer.ts";
import { linearOf } from "./linear.ts";
import { Module } from "./module.ts";

/** Activations by the names that configurations use. */
export const activations = {
  silu,
  relu,
  gelu: (x: Tensor): Tensor => gelu(x),
  gelu_new: (x: Tensor): Tensor => gelu(x, { approximate: "tanh" }),
  gelu_pytorch_tanh: (x: Tensor): Tensor => gelu(x, { approximate: "tanh" }),
} as const;

export type ActivationName = keyof typeof activations;

export function isActivationName(name: string): name is ActivationName {
  return Object.hasOwn(activations, name);
}

export interface FeedForwardOptions extends LayerOptions {
  readonly embedDim: number;
  readonly hiddenDim: number;
  /** Default false. */
  readonly bias?: boolean;
  /** Default "silu". */
  readonly activation?: ActivationName;
}

/** `down(activation(gate(x)) · up(x))`, SwiGLU with silu. Fields are named as Llama's checkpoints. */
export class GatedFeedForward extends Module {
  readonly activation: ActivationName;
  gate_proj: LinearLike;
  up_proj: LinearLike;
  down_proj: LinearLike;

  constructor({ embedDim, hiddenDim, bias = false, activation = "silu", ...options }: FeedForwardOptions) {
    super();
    this.activation = activation;
    this.gate_proj = linearOf(embedDim, hiddenDim, { ...options, bias });
    this.up_proj = linearOf(embedDim, hiddenDim, { ...options, bias });
    this.down_proj = linearOf(hiddenDim, embedDim, { ...options, bias });
  }

  /** @param x - `[..., embed]`; returns the same shape */
  forward(x: Tensor): Tensor {
    const [gate, up] = [this.gate_proj.forward(x), this.up_proj.forward(x)];
    const gated = this.activation === "silu" ? swiglu(gate, up) : mul(activations[this.activation](gate), up);
    return this.down_proj.forward(gated);
  }
}

/** `down(activation(up(x)))`, as in GPT-2 with "gelu_new". Biases by default. */
export class FeedForward extends Module {
  readonly activation: ActivationName;
  up_proj: LinearLike;
  down_proj: LinearLike;

  constructor({ embedDim, hiddenDim, bias = true, activation = "gelu", ...options }: FeedForwardOptions) {
    super();
    this.activation = activation;
    this.up_proj = linearOf(embedDim, hiddenDim, { ...options, bias });
    this.down_proj = linearOf(hiddenDim, embedDim, { ...options, bias });
  }

  /** @param x - `[..., embed]`; returns the same shape */
  forward(x: Tensor): Tensor {
    return this.down_proj.forward(activations[this.activation](this.up_proj.forward(x)));
  }
}
