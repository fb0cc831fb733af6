import type { Tensor } from "@graft/tensor";
import { Module } from "./module.ts";

/** Anything that turns one tensor into another. */
export interface TensorModule extends Module {
  forward(x: Tensor): Tensor;
}

type Step = TensorModule | ((x: Tensor) => Tensor);

/** Modules and plain functions, applied one after the other. Children are named by position: `0.weight`. */
export class Sequential extends Module {
  readonly #steps: Step[];

  constructor(...steps: readonly Step[]) {
    super();
    this.#steps = [...steps];
  }

  override *namedChildren(): Generator<[string, Module]> {
    for (const [i, step] of this.#steps.entries()) if (step instanceof Module) yield [String(i), step];
  }

  override setChild(name: string, module: Module): void {
    this.#steps[Number(name)] = module as TensorModule; // it stands in for a child that was one
  }

  forward(x: Tensor): Tensor {
    return this.#steps.reduce(
      (value, step) => (typeof step === "function" ? step(value) : step.forward(value)),
      x,
    );
  }
}
