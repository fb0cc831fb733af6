import { embedding, type Tensor } from "@graft/tensor";
import { normalParameter } from "./init.ts";
import type { LayerOptions } from "./layer.ts";
import { Module } from "./module.ts";
import type { Parameter } from "./parameter.ts";

/** A table of `numEmbeddings` vectors, looked up by number. Starts as PyTorch's: N(0, 1). */
export class Embedding extends Module {
  readonly numEmbeddings: number;
  readonly embeddingDim: number;
  /** `[numEmbeddings, embeddingDim]` */
  weight: Parameter;

  constructor(numEmbeddings: number, embeddingDim: number, options: LayerOptions & { std?: number }) {
    super();
    this.numEmbeddings = numEmbeddings;
    this.embeddingDim = embeddingDim;
    this.weight = normalParameter(options, [numEmbeddings, embeddingDim], options.std ?? 1);
  }

  /** @param ids - whole numbers `[...]` in [0, numEmbeddings); returns `[..., embeddingDim]` */
  forward(ids: Tensor): Tensor {
    return embedding(this.weight, ids);
  }
}
