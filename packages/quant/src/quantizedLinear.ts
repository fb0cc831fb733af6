import { Linear, type LinearLike, Module, Parameter } from "@graft/nn";
import {
  add,
  type Device,
  noGrad,
  packedMatmul,
  scope,
  type Tensor,
  unpackWeight,
  ValueError,
} from "@graft/tensor";
import { int8Activations } from "./llmInt8.ts";
import { adopt, type OwnedMatrix, ownedMatrix, readMatrix } from "./matrix.ts";
import { quantizeLike } from "./quantize.ts";
import type { Packed } from "./scheme.ts";

export interface QuantizedLinearOptions {
  readonly device: Device;
  /** `[outFeatures]`, taken over. Default: none. */
  readonly bias?: Parameter;
  /**
   * Only of int8: rounds activations to 8 bits too, but for features in which one reaches this size, as LLM.int8() does
   * (transformers' threshold is 6; 0 leaves out none). Default: activations are multiplied as they are.
   */
  readonly threshold?: number;
}

/**
 * `y = x · Wᵀ + bias` with W frozen in few bits: forward and the gradient of x are computed from the packed bits, and no
 * dense W exists anywhere. Its parts are parameters by the names of their format, such as `codes` and `absmax`.
 *
 * @see Dettmers et al. 2023 (QLoRA), https://arxiv.org/abs/2305.14314; bitsandbytes' Linear4bit and Linear8bitLt
 */
export class QuantizedLinear extends Module implements LinearLike {
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** `[outFeatures]` */
  bias: Parameter | undefined;
  /** The size of activations that stay unrounded; undefined where none is rounded. */
  readonly threshold: number | undefined;
  readonly #weight: OwnedMatrix;

  /** Takes over the matrix, which another layer may share (a tied head). */
  constructor(weight: OwnedMatrix, { bias, threshold }: Omit<QuantizedLinearOptions, "device"> = {}) {
    super();
    if (threshold !== undefined && (weight.layout.format.name !== "int8" || !(threshold >= 0)))
      throw new ValueError(
        "QuantizedLinear",
        `threshold must be 0 or more for an int8 weight, got ${threshold} for ${weight.layout.format.name}.`,
      );
    this.threshold = threshold;
    [this.outFeatures, this.inFeatures] = weight.layout.shape;
    this.#weight = weight;
    this.bias = bias;
    adopt(this, weight);
  }

  /** @param packed - `[outFeatures, inFeatures]` of any scheme, or GGUF blocks; kept bit for bit */
  static fromPacked(packed: Packed, { device, ...options }: QuantizedLinearOptions): QuantizedLinear {
    return new QuantizedLinear(ownedMatrix(packed, device), options);
  }

  /** The name of the scheme. */
  get scheme(): string {
    return this.#weight.layout.format.name;
  }

  /** W in few bits. */
  get weight(): OwnedMatrix {
    return this.#weight;
  }

  /** @param x - `[..., inFeatures]`; returns `[..., outFeatures]` */
  forward(x: Tensor): Tensor {
    const { bias, threshold } = this;
    return scope(() => {
      const y = packedMatmul(threshold === undefined ? x : int8Activations(x, threshold), this.#weight);
      return bias === undefined ? y : add(y, bias);
    });
  }

  /** W as f32, `[outFeatures, inFeatures]`: eight times the memory of four bits while it lives. */
  denseWeight(): Tensor {
    return noGrad(() => unpackWeight(this.#weight));
  }

  /** A dense layer with this bias; to stay packed use `requantized`. */
  withWeight(weight: Tensor): Linear {
    return new Linear(this.inFeatures, this.outFeatures, {
      device: weight.device,
      weight: noGrad(() => new Parameter(weight, false)),
      bias: this.bias ?? false,
    });
  }

  /** The packed weights on the host, bit for bit, for files. */
  packed(): Promise<Packed> {
    return readMatrix(this.#weight);
  }

  /** A layer with this bias and `weight` packed in the same way, which moves its values by up to the scheme's bound. */
  async requantized(weight: Tensor): Promise<QuantizedLinear> {
    const packed = quantizeLike(this.#weight.layout, Float32Array.from(await weight.toArray()));
    return QuantizedLinear.fromPacked(packed, {
      device: weight.device,
      bias: this.bias,
      threshold: this.threshold,
    });
  }
}
