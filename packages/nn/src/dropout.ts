import { dropout, type Generator, type Tensor } from "@graft/tensor";
import { Module } from "./module.ts";

/** While training, zeroes each value with probability `p` and scales the others by 1 / (1 − p). */
export class Dropout extends Module {
  readonly p: number;
  readonly generator: Generator;

  /** @param generator - draws a new key for each call; a `checkpoint` draws the same one again */
  constructor(p: number, generator: Generator) {
    super();
    if (!(p >= 0 && p < 1)) throw new RangeError(`Dropout: p must be in [0, 1), got ${p}.`);
    this.p = p;
    this.generator = generator;
  }

  forward(x: Tensor): Tensor {
    if (!this.training || this.p === 0) return x;
    return dropout(x, this.p, this.generator.next());
  }
}
