import { AdamW, type CausalLM, type Parameter, type ScheduleName, schedule } from "@graft/nn";
import type { StepBatches } from "../dataset/batching.ts";
import { GraftError } from "../errors.ts";
import { deviceOf } from "./loss.ts";
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
  model: CausalLM,
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
  const step = new TrainingStep(model, optimizer, options.maxGradNorm);
  const pending: Pending[] = [];
  const began = performance.now();
  let last = began;
  let reported: StepReport | undefined;

  /** Waits for the oldest step that was queued. */
  const report = async ({ t, learningRate, tokens, measured }: Pending): Promise<void> => {
    const { loss, gradNorm } = await measured;
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
    reported = {
      step: t + 1,
      loss,
      gradNorm,
      learningRate,
      tokens,
      tokensPerSecond: tokens / ((now - last) / 1000),
      seconds: (now - began) / 1000,
    };
    last = now;
    await onStep(reported);
  };

  try {
    let t = 0;
    while (t < options.steps && options.signal?.aborted !== true) {
      const { value } = batches.next();
      const learningRate = options.learningRate * factor(t);
      optimizer.learningRate = learningRate;
      await step.warmUp(value);
      const measured = step.run(value);
      // Awaited later; a failure in the meantime is told then.
      measured.catch(() => {});
      pending.push({ t, learningRate, tokens: tokensIn(value), measured });
      t++;
      if (pending.length > QUEUED[deviceOf(model).kind]) await report(pending.splice(0, 1)[0]);
      // Lets signals and timers in: the CPU device never waits.
      await new Promise((resolve) => setImmediate(resolve));
    }
    while (pending.length > 0) await report(pending.splice(0, 1)[0]);
    if (reported === undefined)
      throw new Error(`internal: ${options.steps} steps were asked for. Please report this.`);
    // No later step looks at what the last update made.
    if (!(await allFinite(optimizer.parameters))) {
      step.restore();
      throw new DivergedError(
        `the update of step ${reported.step} gives parameters that are not finite`,
        reported.step - 1,
      );
    }
    return { steps: reported.step, loss: reported.loss, interrupted: t < options.steps };
  } finally {
    await Promise.allSettled(pending.map(({ measured }) => measured));
    optimizer.zeroGrad();
    step[Symbol.dispose]();
    optimizer.dispose();
  }
}

/** Steps that may be queued behind the one that is waited for, so that a GPU never waits for the host. The CPU device runs them at once. */
const QUEUED = { webgpu: 1, cpu: 0 } as const;

/** A step that was queued. */
interface Pending {
  /** From 0. */
  readonly t: number;
  readonly learningRate: number;
  readonly tokens: number;
  readonly measured: Promise<Measured>;
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
