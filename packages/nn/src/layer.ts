import type { Device, DType, Generator, Tensor } from "@graft/tensor";
import type { Module } from "./module.ts";

/** Where a layer's parameters live and how they start. */
export interface LayerOptions {
  readonly device: Device;
  /** Draws the initial values. Without one they are left empty, for a checkpoint to fill. */
  readonly generator?: Generator;
  /** Type in which matrices are stored. Default "f32". */
  readonly dtype?: DType;
  /** Makes the linear layers inside, in place of dense ones. */
  readonly linear?: LinearFactory;
}

/** Makes the layer that acts as x·Wᵀ, W being `[outFeatures, inFeatures]`. */
export type LinearFactory = (
  inFeatures: number,
  outFeatures: number,
  options: LayerOptions & { readonly bias: boolean },
) => LinearLike;

/** A layer that acts as x·Wᵀ + b, however W is stored. LoRA and quantization see only this. */
export interface LinearLike extends Module {
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** The checkpoint keeps W as `[inFeatures, outFeatures]`, as of Conv1D; PEFT's name for it. Default false. */
  readonly fanInFanOut?: boolean;
  /** @param x - `[..., inFeatures]`; returns `[..., outFeatures]` */
  forward(x: Tensor): Tensor;
  /** W as floats, `[outFeatures, inFeatures]`. Costs memory for packed layers. */
  denseWeight(): Tensor;
  /** A dense layer that takes over `weight` as its W and shares this layer's bias. */
  withWeight(weight: Tensor): LinearLike;
  /** Only of packed layers: one that has `weight` packed in the same way as this layer's, and shares its bias. */
  requantized?(weight: Tensor): Promise<LinearLike>;
}

/** True for layers that offer the LinearLike interface. */
export function isLinearLike(module: Module): module is LinearLike {
  return (
    "inFeatures" in module && "outFeatures" in module && "denseWeight" in module && "withWeight" in module
  );
}
