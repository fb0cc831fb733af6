import { linear, noGrad, type Tensor } from "@graft/tensor";
import { uniformParameter } from "./init.ts";
import type { LayerOptions, LinearLike } from "./layer.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

export interface LinearOptions extends LayerOptions {
  /** An existing parameter, or whether to have one. Default true. */
  readonly bias?: boolean | Parameter;
  /** An existing parameter instead of a new one, `[outFeatures, inFeatures]`. */
  readonly weight?: Parameter;
}

/**
 * `y = x · weightᵀ + bias`. Starts as PyTorch's: weight and bias U(−1/√inFeatures, 1/√inFeatures)
 * (Kaiming uniform with a = √5).
 */
export class Linear extends Module implements LinearLike {
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** `[outFeatures, inFeatures]` */
  weight: Parameter;
  /** `[outFeatures]` */
  bias: Parameter | undefined;

  constructor(inFeatures: number, outFeatures: number, { bias = true, weight, ...options }: LinearOptions) {
    super();
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    const bound = 1 / Math.sqrt(inFeatures);
    this.weight = weight ?? uniformParameter(options, [outFeatures, inFeatures], bound);
    if (bias instanceof Parameter) this.bias = bias;
    else this.bias = bias ? uniformParameter({ ...options, dtype: "f32" }, [outFeatures], bound) : undefined;
  }

  /** @param x - `[..., inFeatures]`; returns `[..., outFeatures]` */
  forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias);
  }

  denseWeight(): Tensor {
    return this.weight.detach();
  }

  withWeight(weight: Tensor): Linear {
    const parameter = noGrad(() => new Parameter(weight, this.weight.requiresGrad));
    return new Linear(this.inFeatures, this.outFeatures, {
      device: this.weight.device,
      weight: parameter,
      bias: this.bias ?? false,
    });
  }
}

/** The linear layer of a larger module: a dense one where the options have no factory. */
export function linearOf(
  inFeatures: number,
  outFeatures: number,
  options: LayerOptions & { readonly bias: boolean },
): LinearLike {
  return options.linear?.(inFeatures, outFeatures, options) ?? new Linear(inFeatures, outFeatures, options);
}
