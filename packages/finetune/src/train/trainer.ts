import { AdamW, type CausalLM, type Parameter, type ScheduleName, schedule } from "@graft/nn";
import type { DeviceLostError, Generator } from "@graft/tensor";
import type { StepBatches } from "../dataset/batching.ts";
import { GraftError } from "../errors.ts";
import { deviceOf } from "./loss.ts";
import { type TrainingParts, trainResumably } from "./resume.ts";
import { type Measured, TrainingStep } from "./step.ts";

export interface TrainerOptions {
  readonly steps: number;
  /** Peak, per step. */
  readonly learningRate: number;
  readonly schedule: ScheduleName;
  readonly warmupSteps: number;
  readonly weightDecay: number;
  /** Joint norm to which gradients are scaled; 0 leaves them. */
  readonly maxGradNorm: number;
  /** Stops after the step that runs. */
  readonly signal?: AbortSignal;
  /** Those that dropout draws from, for `recover`. */
  readonly generators?: readonly Generator[];
  /**
   * Loads the model onto another device, as it was before training, with the generators as they were; called where the GPU is lost.
   * Without it that ends training.
   */
  readonly recover?: (
    lost: DeviceLostError,
  ) => Promise<Pick<TrainingParts, "generators"> & { model: CausalLM }>;
}

/** Steps between snapshots of what trains, on a GPU that can be replaced. */
export const SNAPSHOT_EVERY = 20;

/** What one step did. Loss and gradient norm are before its update, the norm before clipping. */
export interface StepReport {
  /** From 1. */
  readonly step: number;
  /** Mean over the step's targets, in nats. */
  readonly loss: number;
  readonly learningRate: number;
  readonly gradNorm: number;
  /** Tokens that went through the model, padding included. */
  readonly tokens: number;
  readonly tokensPerSecond: number;
  /** Seconds since training began. */
  readonly seconds: number;
}

/** How a run ended. */
export interface TrainingResult {
  /** Steps that were done. */
  readonly steps: number;
  /** Loss of the last step. */
  readonly loss: number;
  readonly interrupted: boolean;
}

/** A loss, gradient or parameter that is not finite. The model was set back to the last parameters that gave a finite loss. */
export class DivergedError extends GraftError {
  /** Updates that the parameters now contain; undefined where no step had a finite loss. */
  readonly updates: number | undefined;

  /** @param what - for example `the loss of step 3 is not finite (NaN)` */
  constructor(what: string, updates: number | undefined) {
    super(
      `finetune: ${what}, so training stopped. Use a lower --learning-rate, or look at the rows of that step.`,
    );
    this.updates = updates;
  }
}

/** What trains, on one device. */
class Run implements TrainingParts, Disposable {
  readonly model: CausalLM;
  readonly optimizer: AdamW;
  readonly generators: readonly Generator[];
  readonly step: TrainingStep;

  constructor(model: CausalLM, generators: readonly Generator[], options: TrainerOptions) {
    const { learningRate, weightDecay, maxGradNorm } = options;
    this.model = model;
    this.generators = generators;
    this.optimizer = new AdamW(model.namedParameters(), { learningRate, weightDecay });
    this.step = new TrainingStep(model, this.optimizer, maxGradNorm);
  }

  [Symbol.dispose](): void {
    this.optimizer.zeroGrad();
    this.step[Symbol.dispose]();
    this.optimizer.dispose();
  }
}

/** Batches by number of their step, for steps that are done again. */
class Replayable {
  readonly #batches: Iterator<StepBatches>;
  readonly #kept = new Map<number, StepBatches>();
  #next = 0;

  constructor(batches: Iterator<StepBatches>) {
    this.#batches = batches;
  }

  at(step: number): StepBatches {
    while (this.#next <= step) this.#kept.set(this.#next++, this.#batches.next().value);
    const found = this.#kept.get(step);
    if (found === undefined)
      throw new Error(`internal: the batches of step ${step} are gone. Please report this.`);
    return found;
  }

  /** Nobody will ask for steps before this one. */
  forget(before: number): void {
    for (const step of this.#kept.keys()) if (step < before) this.#kept.delete(step);
  }
}

/**
 * Trains the parameters of `model` that require a gradient, one optimiser step for each item of `batches`. The loss and
 * the gradient of a step are means over all its targets, however they are split into micro-batches. Where the GPU is lost and
 * `recover` is given, training goes on with the model that it returns, to the same losses.
 * @throws DivergedError where a loss or gradient is not finite
 */
export async function train(
  model: CausalLM,
  batches: Iterator<StepBatches>,
  options: TrainerOptions,
  onStep: (report: StepReport) => void | Promise<void>,
): Promise<TrainingResult> {
  const { recover, steps, signal } = options;
  const factor = schedule(options.schedule, { steps, warmupSteps: options.warmupSteps });
  const given = new Replayable(batches);
  const began = performance.now();
  let last = began;
  let reported: StepReport | undefined;

  const open = async (lost?: DeviceLostError): Promise<Run> => {
    if (lost === undefined) return new Run(model, options.generators ?? [], options);
    if (recover === undefined) throw lost;
    const again = await recover(lost);
    return new Run(again.model, again.generators ?? [], options);
  };

  const prepare = async ({ optimizer, step }: Run, t: number): Promise<void> => {
    optimizer.learningRate = options.learningRate * factor(t);
    await step.warmUp(given.at(t));
  };

  const run = ({ step }: Run, t: number): Promise<Measured> => step.run(given.at(t));

  const report = async (t: number, { loss, gradNorm }: Measured): Promise<void> => {
    if (recover === undefined) given.forget(t);
    if (!Number.isFinite(loss))
      throw new DivergedError(
        `the loss of step ${t + 1} is not finite (${loss})`,
        t === 0 ? undefined : t - 1,
      );
    if (!Number.isFinite(gradNorm))
      throw new DivergedError(
        `the gradient norm of step ${t + 1} is not finite (${gradNorm})`,
        t === 0 ? undefined : t,
      );
    const now = performance.now();
    const tokens = tokensIn(given.at(t));
    reported = {
      step: t + 1,
      loss,
      gradNorm,
      learningRate: options.learningRate * factor(t),
      tokens,
      tokensPerSecond: tokens / ((now - last) / 1000),
      seconds: (now - began) / 1000,
    };
    last = now;
    await onStep(reported);
  };

  const { kind } = deviceOf(model);
  const ended = await trainResumably(open, run, {
    steps,
    snapshotEvery: recover !== undefined && kind === "webgpu" ? SNAPSHOT_EVERY : Number.POSITIVE_INFINITY,
    queued: QUEUED[kind],
    signal,
    prepare,
    onStep: report,
    onSnapshot: (t) => given.forget(t),
  });
  using trained = ended.parts;
  if (reported === undefined) throw new Error(`internal: ${steps} steps were asked for. Please report this.`);
  // No later step looks at what the last update made.
  if (!(await allFinite(trained.optimizer.parameters))) {
    trained.step.restore();
    throw new DivergedError(
      `the update of step ${reported.step} gives parameters that are not finite`,
      reported.step - 1,
    );
  }
  return { steps: reported.step, loss: reported.loss, interrupted: ended.steps < steps };
}

/** Steps that may be queued behind the one that is waited for, so that a GPU never waits for the host. The CPU device runs them at once. */
const QUEUED = { webgpu: 1, cpu: 0 } as const;

async function allFinite(parameters: readonly Parameter[]): Promise<boolean> {
  for (const parameter of parameters) {
    if (!(await parameter.toArray()).every((value) => Number.isFinite(value))) return false;
  }
  return true;
}

function tokensIn({ batches }: StepBatches): number {
  return batches.reduce((sum, batch) => sum + batch.rows * batch.length, 0);
}
