import {
  Attention,
  FeedForward,
  GatedFeedForward,
  Linear,
  type LinearLike,
  Module,
  Parameter,
  Sequential,
  type TensorModule,
} from "@graft/nn";
import { cast, type Device, Generator, linear, mul, relu, round, type Tensor } from "@graft/tensor";

/** A layer of another kind, as quantization makes them: whole-number codes and one scale. */
export class CodedLinear extends Module implements LinearLike {
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly codes: Parameter;
  readonly scale = 1 / 64;

  constructor(weight: Tensor) {
    super();
    [this.outFeatures, this.inFeatures] = weight.shape;
    this.codes = new Parameter(cast(round(mul(weight, 1 / this.scale)), "i32"));
  }

  forward(x: Tensor): Tensor {
    return linear(x, this.denseWeight());
  }

  denseWeight(): Tensor {
    return mul(cast(this.codes, "f32"), this.scale);
  }

  withWeight(weight: Tensor): CodedLinear {
    return new CodedLinear(weight);
  }
}

/** A model of layers under test, with inputs of `[2, 3, width]`. */
export interface Kind {
  readonly name: string;
  readonly make: (device: Device, width: number, seed: number) => TensorModule;
  /** How many linear layers it has. */
  readonly linears: number;
  /** Whether merging rounds the weight to codes, so that outputs agree only roughly. */
  readonly coarse?: boolean;
}

export const kinds: readonly Kind[] = [
  {
    name: "linear layers, with bias and without",
    linears: 2,
    make(device, width, seed) {
      const generator = new Generator(seed);
      return new Sequential(
        new Linear(width, 5, { device, generator }),
        relu,
        new Linear(5, width, { device, generator, bias: false }),
      );
    },
  },
  {
    name: "linear layers stored as bf16",
    linears: 1,
    coarse: true,
    make: (device, width, seed) =>
      new Sequential(new Linear(width, width, { device, generator: new Generator(seed), dtype: "bf16" })),
  },
  {
    name: "attention",
    linears: 4,
    make: (device, width, seed) =>
      new Attention({
        device,
        generator: new Generator(seed),
        embedDim: 4 * width,
        numHeads: 4,
        numKvHeads: 2,
      }),
  },
  {
    name: "feed-forward blocks",
    linears: 5,
    make(device, width, seed) {
      const options = { device, generator: new Generator(seed), embedDim: width, hiddenDim: 6 };
      return new Sequential(new GatedFeedForward(options), new FeedForward(options));
    },
  },
  {
    name: "layers of whole-number codes",
    linears: 2,
    coarse: true,
    make(device, width, seed) {
      const options = { device, generator: new Generator(seed), bias: false };
      const coded = (): CodedLinear => new CodedLinear(new Linear(width, width, options).weight);
      return new Sequential(coded(), coded());
    },
  },
];

/** The width of the inputs of a kind's model made with `width`. */
export function inputWidth(kind: Kind, width: number): number {
  return kind.name === "attention" ? 4 * width : width;
}
