import { concat, GradError, keep, type Tensor } from "@graft/tensor";

/** The keys and values of the positions that a model has seen, for each attention layer: generation in O(length). */
export class KvCache implements Disposable {
  readonly #layers: { keys: Tensor; values: Tensor }[] = [];
  #length = 0;

  /** Positions that every layer holds. */
  get length(): number {
    return this.#length;
  }

  /**
   * Adds keys and values `[batch, kvHeads, new, headDim]` to what layer `layer` holds and returns all of them.
   * Call `advance` when every layer has been extended.
   */
  extend(layer: number, keys: Tensor, values: Tensor): { keys: Tensor; values: Tensor } {
    if (keys.requiresGrad || values.requiresGrad)
      throw new GradError("KvCache", "a cache is for generation: call the model inside noGrad.");
    const held = this.#layers[layer];
    const next =
      held === undefined
        ? { keys: keys.detach(), values: values.detach() }
        : { keys: concat([held.keys, keys], 2), values: concat([held.values, values], 2) };
    keep(next.keys);
    keep(next.values);
    held?.keys.dispose();
    held?.values.dispose();
    this.#layers[layer] = next;
    return next;
  }

  /** Counts the positions that were added to every layer. */
  advance(positions: number): void {
    this.#length += positions;
  }

  [Symbol.dispose](): void {
    for (const { keys, values } of this.#layers) {
      keys.dispose();
      values.dispose();
    }
    this.#layers.length = 0;
    this.#length = 0;
  }
}
