import { GradError, type Tensor } from "@graft/tensor";
import { copyTensors } from "../copyTensors.ts";
import { CheckpointError } from "../errors.ts";
import type { Parameter } from "../parameter.ts";

/** Parameters with their names, as `module.namedParameters()` gives them. */
export type NamedParameters = Iterable<readonly [string, Parameter]>;

/** Parameters that are stepped with options of their own; those that are not given are the optimiser's. */
export interface ParameterGroup {
  readonly parameters: NamedParameters;
  readonly learningRate?: number;
  readonly weightDecay?: number;
}

/** A group as an optimiser holds it. What is undefined is the optimiser's. */
export interface Group {
  /** Used by the next step; may be set. */
  learningRate: number | undefined;
  readonly weightDecay: number | undefined;
  readonly named: readonly (readonly [string, Parameter])[];
}

export interface StepOptions {
  /** One number on the device that multiplies every gradient first, such as `clipFactor(gradNorm(parameters), 1)`. */
  readonly gradientScale?: Tensor;
}

/** What a checkpoint of an optimiser holds. */
export interface OptimizerState {
  /** Steps done. */
  readonly step: number;
  /** Moments under the parameter's name and PyTorch's name of the moment: `lm_head.weight.exp_avg`. */
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** Parameters of a group to update, with their gradients. */
export interface Update {
  readonly group: Group;
  readonly names: readonly string[];
  readonly parameters: readonly Parameter[];
  readonly gradients: readonly Tensor[];
}

/**
 * Changes parameters from their gradients. Holds those that require a gradient when it is made; those that are frozen
 * later are passed over. Takes named parameters, or groups of them with options of their own.
 */
export abstract class Optimizer {
  /** Used by the next step; set it from a schedule. Groups may have their own. */
  learningRate: number;
  readonly groups: readonly Group[];
  /** Steps done. */
  protected steps = 0;
  protected readonly named: readonly (readonly [string, Parameter])[];

  constructor(parameters: NamedParameters | readonly ParameterGroup[], learningRate: number) {
    checkAtLeast0("learningRate", learningRate);
    this.learningRate = learningRate;
    this.groups = groupsOf(parameters);
    this.named = this.groups.flatMap(({ named }) => named);
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
  }

  get parameters(): Parameter[] {
    return this.named.map(([, parameter]) => parameter);
  }

  /**
   * One update from the gradients that are there. A parameter that requires one and has none is an error. In a compiled
   * step the rates and the number of steps are those of each call.
   */
  abstract step(options?: StepOptions): void;

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

  /** For each group the parameters that are not frozen with their gradients, all checked before the first is changed. */
  protected updates(): Update[] {
    const updates = this.groups.map((group) => {
      const active = group.named.filter(([, parameter]) => parameter.requiresGrad);
      return {
        group,
        names: active.map(([name]) => name),
        parameters: active.map(([, parameter]) => parameter),
        gradients: active.map(([name, parameter]) => gradientOf(name, parameter)),
      };
    });
    return updates.filter(({ names }) => names.length > 0);
  }
}

function gradientOf(name: string, { grad }: Parameter): Tensor {
  if (grad === undefined)
    throw new GradError(
      "optimizer.step",
      `${name} has no gradient. Does the loss depend on it, and was backward called?`,
    );
  return grad;
}

function groupsOf(parameters: NamedParameters | readonly ParameterGroup[]): Group[] {
  const items: (readonly [string, Parameter] | ParameterGroup)[] = [...parameters];
  const [first] = items;
  const isGroups = first !== undefined && "parameters" in first;
  const groups = isGroups ? (items as ParameterGroup[]) : [{ parameters: items as [string, Parameter][] }]; // all are as the first
  return groups.map(({ parameters: own, learningRate, weightDecay }: ParameterGroup) => {
    if (learningRate !== undefined) checkAtLeast0("learningRate", learningRate);
    if (weightDecay !== undefined) checkAtLeast0("weightDecay", weightDecay);
    return { learningRate, weightDecay, named: [...own].filter(([, parameter]) => parameter.requiresGrad) };
  });
}

function checkAtLeast0(name: string, value: number): void {
  if (!(value >= 0 && Number.isFinite(value)))
    throw new RangeError(`optimizer: ${name} must be 0 or more, got ${value}.`);
}

/** The tensors of a map that was filled from the same names. */
export function momentsOf(moments: ReadonlyMap<string, Tensor>, names: readonly string[]): Tensor[] {
  return names.map((name) => {
    const found = moments.get(name);
    if (found === undefined)
      throw new Error(`internal: the optimiser has no moments for ${name}. Was it disposed?`);
    return found;
  });
}
