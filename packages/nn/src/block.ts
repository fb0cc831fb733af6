import { checkpoint, structureChanged, type Tensor } from "@graft/tensor";
import type { AttentionContext } from "./attention.ts";
import { Module } from "./module.ts";

/** A decoder layer, of which backward may keep the input alone. */
export abstract class Block extends Module {
  #gradientCheckpointing = false;

  /** Backward keeps the input alone and runs the block again: memory for a third more time. Default false. */
  get gradientCheckpointing(): boolean {
    return this.#gradientCheckpointing;
  }

  set gradientCheckpointing(mode: boolean) {
    if (mode !== this.#gradientCheckpointing) structureChanged();
    this.#gradientCheckpointing = mode;
  }

  /** @param x - `[batch, seq, embed]`; returns the same shape */
  forward(x: Tensor, context: AttentionContext = {}): Tensor {
    // With a cache a second run would append the keys again.
    return this.#gradientCheckpointing && context.cache === undefined
      ? checkpoint((given) => this.run(given, context), x)
      : this.run(x, context);
  }

  protected abstract run(x: Tensor, context: AttentionContext): Tensor;
}
