import { type Device, fromArray, keep, type Tensor } from "@graft/tensor";

/** How positions turn into angles. `scaling` is the part of the configuration that makes long texts fit. */
export interface RotaryOptions {
  /** Base of the wavelengths. Llama 2: 10,000; Llama 3: 500,000; SmolLM2: 100,000. */
  readonly theta: number;
  /** Values of a head that are rotated; even. */
  readonly headDim: number;
  readonly scaling?: RopeScaling;
}

export type RopeScaling =
  | { readonly type: "linear"; readonly factor: number }
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositionEmbeddings: number;
    }
  /** Each frequency divided by its own factor, as GGUF files store scaled ones (`rope_freqs.weight`). */
  | { readonly type: "factors"; readonly factors: readonly number[] };

/** Angle for each pair of a head at position 1, in radians: `headDim / 2` values. */
export function inverseFrequencies({ theta, headDim, scaling }: RotaryOptions): number[] {
  const plain = Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim));
  if (scaling === undefined) return plain;
  if (scaling.type === "linear") return plain.map((frequency) => frequency / scaling.factor);
  if (scaling.type === "factors") return plain.map((frequency, i) => frequency / scaling.factors[i]);
  // Llama 3.1: short wavelengths stay, long ones are stretched, those between are interpolated.
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings: context } = scaling;
  return plain.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < context / highFreqFactor) return frequency;
    if (wavelength > context / lowFreqFactor) return frequency / factor;
    const smooth = (context / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}

/**
 * Cosines and sines for rotary position embedding, computed in float64 and rounded once (WGSL's own are too coarse).
 * The tables grow as longer texts come.
 * @see Su et al. 2021, https://arxiv.org/abs/2104.09864
 */
export class Rotary implements Disposable {
  readonly #frequencies: readonly number[];
  readonly #device: Device;
  #tables: { cos: Tensor; sin: Tensor; length: number } | undefined;

  constructor(device: Device, options: RotaryOptions) {
    this.#device = device;
    this.#frequencies = inverseFrequencies(options);
  }

  /** Tables `[positions, headDim / 2]`, for `needed` positions from 0 on at least. */
  upTo(needed: number): { readonly cos: Tensor; readonly sin: Tensor } {
    if (this.#tables === undefined || this.#tables.length < needed) this.#grow(needed);
    const tables = this.#tables;
    if (tables === undefined) throw new Error("internal: the rotary tables were not made");
    return tables;
  }

  #grow(needed: number): void {
    this[Symbol.dispose]();
    const length = 2 ** Math.ceil(Math.log2(Math.max(needed, 64)));
    const half = this.#frequencies.length;
    const cos = new Float64Array(length * half);
    const sin = new Float64Array(length * half);
    for (let position = 0; position < length; position++) {
      for (let i = 0; i < half; i++) {
        // As transformers: the angle is a float32 product.
        const angle = Math.fround(position * Math.fround(this.#frequencies[i]));
        cos[position * half + i] = Math.cos(angle);
        sin[position * half + i] = Math.sin(angle);
      }
    }
    const shape = [length, half];
    this.#tables = {
      cos: keep(fromArray(this.#device, cos, shape)),
      sin: keep(fromArray(this.#device, sin, shape)),
      length,
    };
  }

  [Symbol.dispose](): void {
    this.#tables?.cos.dispose();
    this.#tables?.sin.dispose();
    this.#tables = undefined;
  }
}
