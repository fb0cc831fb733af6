import type { Device, Tensor } from "@graft/tensor";
import { zerosParameter } from "../init.ts";
import type { LayerOptions, LinearLike } from "../layer.ts";
import { Module } from "../module.ts";
import type { Parameter } from "../parameter.ts";

/** The place of a linear layer whose weight is still in a file. It has its bias, and loading replaces it. */
export class UnloadedLinear extends Module implements LinearLike {
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly device: Device;
  /** `[outFeatures]` */
  bias: Parameter | undefined;

  constructor(
    inFeatures: number,
    outFeatures: number,
    { device, bias }: LayerOptions & { readonly bias: boolean },
  ) {
    super();
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    this.device = device;
    this.bias = bias ? zerosParameter({ device }, [outFeatures]) : undefined;
  }

  forward(): Tensor {
    throw notLoaded;
  }

  denseWeight(): Tensor {
    throw notLoaded;
  }

  withWeight(): LinearLike {
    throw notLoaded;
  }
}

const notLoaded = new Error("internal: a linear layer was used before its weight was loaded.");
