import {
  AdamW,
  clipGradNorm,
  gradNorm,
  type LlamaForCausalLM,
  type Parameter,
  type ScheduleName,
  schedule,
} from "@graft/nn";
import { clone, copyInto, keep, mul, noGrad, openScope, scope, type Tensor } from "@graft/tensor";
import type { StepBatches } from "../dataset/batching.ts";
import { GraftError } from "../errors.ts";
import { lossSum } from "./loss.ts";

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
}

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

/**
 * Trains the parameters of `model` that require a gradient, one optimiser step for each item of `batches`. The loss and
 * the gradient of a step are means over all its targets, however they are split into micro-batches.
 * @throws DivergedError where a loss or gradient is not finite
 */
export async function train(
  model: LlamaForCausalLM,
  batches: Iterator<StepBatches>,
  options: TrainerOptions,
  onStep: (report: StepReport) => void | Promise<void>,
): Promise<TrainingResult> {
  const named = [...model.namedParameters()].filter(([, parameter]) => parameter.requiresGrad);
  const optimizer = new AdamW(named, {
    learningRate: options.learningRate,
    weightDecay: options.weightDecay,
  });
  const factor = schedule(options.schedule, { steps: options.steps, warmupSteps: options.warmupSteps });
  const lastGood = new Snapshot(optimizer.parameters);
  const began = performance.now();
  let loss = Number.NaN;
  try {
    for (let t = 0; t < options.steps; t++) {
      const started = performance.now();
      const { value } = batches.next();
      const measured = await gradients(model, optimizer.parameters, value, options.maxGradNorm);
      if (!Number.isFinite(measured.loss)) {
        lastGood.restore();
        throw new DivergedError(
          `the loss of step ${t + 1} is not finite (${measured.loss})`,
          t === 0 ? undefined : t - 1,
        );
      }
      if (!Number.isFinite(measured.gradNorm))
        throw new DivergedError(
          `the gradient norm of step ${t + 1} is not finite (${measured.gradNorm})`,
          t === 0 ? undefined : t,
        );
      lastGood.take();
      const learningRate = options.learningRate * factor(t);
      optimizer.learningRate = learningRate;
      optimizer.step();
      optimizer.zeroGrad();
      ({ loss } = measured);
      const now = performance.now();
      const tokens = tokensIn(value);
      await onStep({
        step: t + 1,
        ...measured,
        learningRate,
        tokens,
        tokensPerSecond: tokens / ((now - started) / 1000),
        seconds: (now - began) / 1000,
      });
      // Lets signals and timers in: the CPU device never waits.
      await new Promise((resolve) => setImmediate(resolve));
      const interrupted = options.signal?.aborted === true;
      if (!interrupted && t + 1 < options.steps) continue;
      // No later step looks at what the last update made.
      if (!(await allFinite(optimizer.parameters))) {
        lastGood.restore();
        throw new DivergedError(`the update of step ${t + 1} gives parameters that are not finite`, t);
      }
      return { steps: t + 1, loss, interrupted };
    }
    throw new Error(`internal: ${options.steps} steps were asked for. Please report this.`);
  } finally {
    optimizer.zeroGrad();
    optimizer.dispose();
    lastGood.dispose();
  }
}

/** Fills the gradients of one step, clipped, and reads its loss and norm. */
async function gradients(
  model: LlamaForCausalLM,
  parameters: readonly Parameter[],
  step: StepBatches,
  maxGradNorm: number,
): Promise<{ loss: number; gradNorm: number }> {
  using _all = openScope();
  const losses = step.batches
    .filter((batch) => batch.targets > 0)
    .map((batch) =>
      scope(() => {
        const loss = mul(lossSum(model, batch), 1 / step.targets);
        loss.backward();
        return loss.detach();
      }),
    );
  const norm = maxGradNorm > 0 ? clipGradNorm(parameters, maxGradNorm) : gradNorm(parameters);
  let loss = 0;
  for (const part of losses) loss += await part.item();
  return { loss, gradNorm: await norm.item() };
}

async function allFinite(parameters: readonly Parameter[]): Promise<boolean> {
  for (const parameter of parameters) {
    if (!(await parameter.toArray()).every((value) => Number.isFinite(value))) return false;
  }
  return true;
}

function tokensIn({ batches }: StepBatches): number {
  return batches.reduce((sum, batch) => sum + batch.rows * batch.length, 0);
}

/** Copies of parameters, to go back to. */
class Snapshot {
  readonly #parameters: readonly Parameter[];
  #copies: Tensor[] = [];

  constructor(parameters: readonly Parameter[]) {
    this.#parameters = parameters;
  }

  take(): void {
    const before = this.#copies;
    this.#copies = noGrad(() => scope(() => this.#parameters.map((parameter) => keep(clone(parameter)))));
    for (const copy of before) copy.dispose();
  }

  restore(): void {
    noGrad(() => {
      for (const [i, copy] of this.#copies.entries()) copyInto(this.#parameters[i], copy);
    });
  }

  dispose(): void {
    for (const copy of this.#copies) copy.dispose();
  }
}
