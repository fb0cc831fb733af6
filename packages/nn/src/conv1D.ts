import { add, matmul, noGrad, permute, scope, type Tensor } from "@graft/tensor";
import { normalParameter, zerosParameter } from "./init.ts";
import type { LayerOptions, LinearLike } from "./layer.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

export interface Conv1DOptions extends LayerOptions {
  /** An existing parameter instead of a new one, `[inFeatures, outFeatures]`. */
  readonly weight?: Parameter;
  /** An existing parameter instead of a new one, `[outFeatures]`. */
  readonly bias?: Parameter;
  /** Standard deviation of the first weights. Default 0.02. */
  readonly std?: number;
}

/**
 * `y = x · weight + bias`: a linear layer that keeps its weight transposed, as GPT-2's checkpoints and transformers'
 * `Conv1D` do (it is no convolution). Starts as theirs: weight N(0, 0.02²), bias 0.
 */
export class Conv1D extends Module implements LinearLike {
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly fanInFanOut = true;
  /** `[inFeatures, outFeatures]` */
  weight: Parameter;
  /** `[outFeatures]` */
  bias: Parameter;

  constructor(
    inFeatures: number,
    outFeatures: number,
    { weight, bias, std = 0.02, ...options }: Conv1DOptions,
  ) {
    super();
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    this.weight = weight ?? normalParameter(options, [inFeatures, outFeatures], std);
    this.bias = bias ?? zerosParameter({ ...options, dtype: "f32" }, [outFeatures]);
  }

  /** @param x - `[..., inFeatures]`; returns `[..., outFeatures]` */
  forward(x: Tensor): Tensor {
    return scope(() => add(matmul(x, this.weight), this.bias));
  }

  denseWeight(): Tensor {
    return permute(this.weight.detach(), [1, 0]);
  }

  /** @param weight - `[outFeatures, inFeatures]`, as every LinearLike takes it; turned, and freed */
  withWeight(weight: Tensor): Conv1D {
    const own = noGrad(() => new Parameter(permute(weight, [1, 0]), this.weight.requiresGrad));
    weight.dispose();
    const { inFeatures, outFeatures, bias } = this;
    return new Conv1D(inFeatures, outFeatures, { device: own.device, weight: own, bias });
  }
}

/** The Conv1D of a larger module, or what the factory of the options makes in its place. */
export function conv1DOf(inFeatures: number, outFeatures: number, options: Conv1DOptions): LinearLike {
  return (
    options.linear?.(inFeatures, outFeatures, { ...options, bias: true }) ??
    new Conv1D(inFeatures, outFeatures, options)
  );
}
