import { rmsNorm, type Tensor } from "@graft/tensor";
import { onesParameter } from "./init.ts";
import type { LayerOptions } from "./layer.ts";
import { Module } from "./module.ts";
import type { Parameter } from "./parameter.ts";

/** Root-mean-square normalisation over the last axis with a learned gain that starts at 1. */
export class RMSNorm extends Module {
  /** Added to mean(x²); Llama uses 1e-5. */
  readonly eps: number;
  /** `[features]` */
  weight: Parameter;

  constructor(features: number, { eps = 1e-5, ...options }: LayerOptions & { eps?: number }) {
    super();
    this.eps = eps;
    this.weight = onesParameter(options, [features]);
  }

  /** @param x - `[..., features]`; returns the same shape */
  forward(x: Tensor): Tensor {
    return rmsNorm(x, this.weight, this.eps);
  }
}
