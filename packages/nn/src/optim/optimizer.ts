import { GradError, type Tensor } from "@graft/tensor";
import type { Parameter } from "../parameter.ts";

/** Parameters with their names, as `module.namedParameters()` gives them. */
export type NamedParameters = Iterable<readonly [string, Parameter]>;

/** Changes parameters from their gradients. Holds those that require a gradient when it is made. */
export abstract class Optimizer {
  /** Used by the next step; set it from a schedule. */
  learningRate: number;
  protected readonly named: readonly (readonly [string, Parameter])[];

  constructor(parameters: NamedParameters, learningRate: number) {
    this.named = [...parameters].filter(([, parameter]) => parameter.requiresGrad);
    if (this.named.length === 0)
      throw new GradError(
        "optimizer",
        "there must be at least one parameter that requires a gradient. Is everything frozen?",
      );
    for (const [name, parameter] of this.named) {
      if (parameter.dtype !== "f32" && parameter.dtype !== "f64")
        throw new GradError(
          "optimizer",
          `${name} must be f32 to be trained, got ${parameter.dtype}. Load the model in f32, or freeze it.`,
        );
    }
    this.learningRate = learningRate;
  }

  get parameters(): Parameter[] {
    return this.named.map(([, parameter]) => parameter);
  }

  /** One update from the gradients that are there. A parameter without one is an error. */
  abstract step(): void;

  /** Moments and counters by name, for a checkpoint: `step` and tensors as they are (not copies). */
  abstract state(): { readonly step: number; readonly tensors: ReadonlyMap<string, Tensor> };

  /** Frees what the optimiser itself holds. */
  abstract dispose(): void;

  zeroGrad(): void {
    for (const [, parameter] of this.named) {
      parameter.grad?.dispose();
      parameter.grad = undefined;
    }
  }

  protected gradientOf(name: string, parameter: Parameter): Tensor {
    if (parameter.grad === undefined)
      throw new GradError(
        "optimizer.step",
        `${name} has no gradient. Does the loss depend on it, and was backward called?`,
      );
    return parameter.grad;
  }
}
