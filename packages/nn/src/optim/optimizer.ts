import { GradError, type Tensor } from "@graft/tensor";
import { copyTensors } from "../copyTensors.ts";
import { CheckpointError } from "../errors.ts";
import type { Parameter } from "../parameter.ts";

/** Parameters with their names, as `module.namedParameters()` gives them. */
export type NamedParameters = Iterable<readonly [string, Parameter]>;

/** What a checkpoint of an optimiser holds. */
export interface OptimizerState {
  /** Steps done. */
  readonly step: number;
  /** Moments under the parameter's name and PyTorch's name of the moment: `lm_head.weight.exp_avg`. */
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/**
 * Changes parameters from their gradients. Holds those that require a gradient when it is made; those that are frozen
 * later are passed over.
 */
export abstract class Optimizer {
  /** Used by the next step; set it from a schedule. */
  learningRate: number;
  /** Steps done. */
  protected steps = 0;
  protected readonly named: readonly (readonly [string, Parameter])[];

  constructor(parameters: NamedParameters, learningRate: number) {
    if (!(learningRate >= 0 && Number.isFinite(learningRate)))
      throw new RangeError(`optimizer: learningRate must be 0 or more, got ${learningRate}.`);
    this.named = [...parameters].filter(([, parameter]) => parameter.requiresGrad);
    if (this.named.length === 0)
      throw new GradError(
        "optimizer",
        "there must be at least one parameter that requires a gradient. Is everything frozen?",
      );
    const names = new Set<string>();
    const seen = new Set<Parameter>();
    for (const [name, parameter] of this.named) {
      if (names.has(name) || seen.has(parameter))
        throw new GradError("optimizer", `parameters and names must be given once, got ${name} twice.`);
      names.add(name);
      seen.add(parameter);
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

  /** One update from the gradients that are there. A parameter that requires one and has none is an error. */
  abstract step(): void;

  /** Moments by name, as they are (not copies). */
  protected abstract moments(): Map<string, Tensor>;

  /** Frees what the optimiser itself holds. */
  abstract dispose(): void;

  /** Moments and the number of steps, for a checkpoint; the tensors are not copies. */
  state(): OptimizerState {
    return { step: this.steps, tensors: this.moments() };
  }

  /**
   * Copies a state back, so that the next step is the one that would have followed. All problems are told at once.
   * `learningRate` and the other options are the caller's.
   */
  async loadState({ step, tensors }: OptimizerState): Promise<void> {
    if (!Number.isSafeInteger(step) || step < 0)
      throw new CheckpointError("loadState", `step must be a whole number, got ${step}.`);
    await copyTensors("loadState", this.moments(), tensors, { strict: true, owner: "this optimiser" });
    this.steps = step;
  }

  zeroGrad(): void {
    for (const [, parameter] of this.named) {
      parameter.grad?.dispose();
      parameter.grad = undefined;
    }
  }

  /** The parameters that are not frozen with their gradients, all checked before the first is changed. */
  protected updates(): { name: string; parameter: Parameter; gradient: Tensor }[] {
    return this.named
      .filter(([, parameter]) => parameter.requiresGrad)
      .map(([name, parameter]) => {
        const { grad } = parameter;
        if (grad === undefined)
          throw new GradError(
            "optimizer.step",
            `${name} has no gradient. Does the loss depend on it, and was backward called?`,
          );
        return { name, parameter, gradient: grad };
      });
  }
}

/** The tensor of a map that was filled from the same names. */
export function momentFor<T>(moments: ReadonlyMap<string, T>, name: string): T {
  const found = moments.get(name);
  if (found === undefined)
    throw new Error(`internal: the optimiser has no moments for ${name}. Was it disposed?`);
  return found;
}
