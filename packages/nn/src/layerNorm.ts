import { layerNorm, type Tensor } from "@graft/tensor";
import { onesParameter, zerosParameter } from "./init.ts";
import type { LayerOptions } from "./layer.ts";
import { Module } from "./module.ts";
import type { Parameter } from "./parameter.ts";

/** Normalisation over the last axis to mean 0 and variance 1, then a learned gain (1) and shift (0). */
export class LayerNorm extends Module {
  readonly eps: number;
  /** `[features]` */
  weight: Parameter;
  /** `[features]` */
  bias: Parameter | undefined;

  constructor(
    features: number,
    { eps = 1e-5, bias = true, ...options }: LayerOptions & { eps?: number; bias?: boolean },
  ) {
    super();
    this.eps = eps;
    this.weight = onesParameter(options, [features]);
    this.bias = bias ? zerosParameter(options, [features]) : undefined;
  }

  /** @param x - `[..., features]`; returns the same shape */
  forward(x: Tensor): Tensor {
    return layerNorm(x, this.weight, this.bias, this.eps);
  }
}
