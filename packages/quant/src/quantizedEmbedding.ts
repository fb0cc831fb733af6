import { Module } from "@graft/nn";
import { type Device, packedEmbedding, type Tensor } from "@graft/tensor";
import { adopt, type OwnedMatrix, ownedMatrix, readMatrix } from "./matrix.ts";
import type { Packed } from "./scheme.ts";

/** A frozen table of vectors in few bits: the rows that are looked up are decoded, the table is not. */
export class QuantizedEmbedding extends Module {
  readonly numEmbeddings: number;
  readonly embeddingDim: number;
  readonly #weight: OwnedMatrix;

  /** Takes over the matrix, which a tied head may share. */
  constructor(weight: OwnedMatrix) {
    super();
    [this.numEmbeddings, this.embeddingDim] = weight.layout.shape;
    this.#weight = weight;
    adopt(this, weight);
  }

  /** @param packed - `[numEmbeddings, embeddingDim]` of any scheme, or GGUF blocks; kept bit for bit */
  static fromPacked(packed: Packed, { device }: { readonly device: Device }): QuantizedEmbedding {
    return new QuantizedEmbedding(ownedMatrix(packed, device));
  }

  /** The table in few bits. */
  get weight(): OwnedMatrix {
    return this.#weight;
  }

  /** @param ids - whole numbers `[...]` in [0, numEmbeddings); returns `[..., embeddingDim]` */
  forward(ids: Tensor): Tensor {
    return packedEmbedding(this.#weight, ids);
  }

  /** The packed weights on the host, bit for bit, for files. */
  packed(): Promise<Packed> {
    return readMatrix(this.#weight);
  }
}
