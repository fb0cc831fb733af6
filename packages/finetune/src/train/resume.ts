import type { Module, Optimizer } from "@graft/nn";
import { DeviceLostError, type Generator, keep, openCpu, type Tensor } from "@graft/tensor";

/** What training changes. */
export interface TrainingParts {
  readonly model: Module;
  readonly optimizer: Optimizer;
  /** Those that steps draw from (dropout). Default none. */
  readonly generators?: readonly Generator[];
}

const host = openCpu();

/**
 * Parameters that train, moments, step number and generators, copied to the host: what a new device needs to go on as if nothing
 * had happened.
 */
export class TrainingSnapshot implements Disposable {
  /** Steps of the optimiser that it contains. */
  readonly steps: number;
  readonly #parameters: ReadonlyMap<string, Tensor>;
  readonly #moments: ReadonlyMap<string, Tensor>;
  readonly #generators: readonly number[];

  private constructor(
    steps: number,
    parameters: ReadonlyMap<string, Tensor>,
    moments: ReadonlyMap<string, Tensor>,
    generators: readonly number[],
  ) {
    this.steps = steps;
    this.#parameters = parameters;
    this.#moments = moments;
    this.#generators = generators;
  }

  /** Copies the state as it is at the call; work that is queued later is not in it. Throws DeviceLostError. */
  static async take({ model, optimizer, generators = [] }: TrainingParts): Promise<TrainingSnapshot> {
    const { step, tensors } = optimizer.state();
    const counts = generators.map(({ count }) => count);
    const trained = [...model.namedParameters()].filter(([, { requiresGrad }]) => requiresGrad);
    const [parameters, moments] = await Promise.all([copies(trained), copies([...tensors])]);
    return new TrainingSnapshot(step, parameters, moments, counts);
  }

  /** Copies the state into a model with the same parameters, on any device. */
  async restore({ model, optimizer, generators = [] }: TrainingParts): Promise<void> {
    if (generators.length !== this.#generators.length)
      throw new RangeError(
        `restore: there must be ${this.#generators.length} generators as in the snapshot, got ${generators.length}.`,
      );
    const trained = [...model.namedParameters()].filter(([, { requiresGrad }]) => requiresGrad);
    const missing = trained.map(([name]) => name).filter((name) => !this.#parameters.has(name));
    if (missing.length > 0)
      throw new RangeError(
        `restore: the snapshot must hold all parameters that train, got none for ${missing.join(", ")}.`,
      );
    await model.loadStateDict(this.#parameters, { strict: false });
    await optimizer.loadState({ step: this.steps, tensors: this.#moments });
    for (const [i, generator] of generators.entries()) generator.count = this.#generators[i];
  }

  [Symbol.dispose](): void {
    for (const tensor of [...this.#parameters.values(), ...this.#moments.values()]) tensor.dispose();
  }
}

/** All reads are queued before the first is waited for, so that they are of one moment. */
async function copies(tensors: readonly (readonly [string, Tensor])[]): Promise<Map<string, Tensor>> {
  return new Map(
    await Promise.all(tensors.map(async ([name, tensor]) => [name, keep(await tensor.to(host))] as const)),
  );
}

export interface ResumeOptions<P, R> {
  readonly steps: number;
  /** Steps between snapshots: so many at most are done again after a loss. Default 10. */
  readonly snapshotEvery?: number;
  /** Losses without a new snapshot in between after which it gives up. Default 3. */
  readonly maxLosses?: number;
  /** Steps that may be queued behind the one whose result is waited for. Default 0. */
  readonly queued?: number;
  /** Ends training after the steps that are queued. */
  readonly signal?: AbortSignal;
  /** Awaited before each step is queued. */
  readonly prepare?: (parts: P, step: number) => Promise<void>;
  /** Called once for each step (from 0), in order, also where it was done twice. */
  readonly onStep?: (step: number, result: R) => void | Promise<void>;
  /** Called when no step before this one will be asked for again. */
  readonly onSnapshot?: (step: number) => void;
  /** Called when the device was lost, before another is opened; `step` is where it goes on. */
  readonly onLoss?: (error: DeviceLostError, step: number) => void;
}

/** Where training ended. */
export interface Resumed<P> {
  /** What `open` returned last; the caller disposes of it. */
  readonly parts: P;
  /** Steps that were done, fewer than asked for where the signal came. */
  readonly steps: number;
}

/**
 * Runs training steps, and where the GPU is lost opens another one and goes on from the last snapshot, to the same losses.
 * @param open - loads the model onto a device and makes its optimiser, each time from the start; `lost` is why it is asked again
 * @param run - queues step number `step`, with the same data whenever it is asked for it, and gives its results
 * @throws DeviceLostError where the device is lost `maxLosses` times from one snapshot
 */
export async function trainResumably<P extends TrainingParts & Disposable, R>(
  open: (lost?: DeviceLostError) => Promise<P>,
  run: (parts: P, step: number) => Promise<R>,
  options: ResumeOptions<P, R>,
): Promise<Resumed<P>> {
  const { maxLosses = 3, onLoss } = options;
  const state: Progress = { done: 0, told: 0, losses: 0, snapshot: undefined };
  let lost: DeviceLostError | undefined;
  try {
    for (;;) {
      let parts: P | undefined;
      try {
        parts = await open(lost);
        await state.snapshot?.restore(parts);
        return { parts, steps: await runSteps(parts, run, state, options) };
      } catch (error) {
        parts?.[Symbol.dispose]();
        if (!(error instanceof DeviceLostError) || ++state.losses > maxLosses) throw error;
        lost = error;
        onLoss?.(error, state.done);
      }
    }
  } finally {
    state.snapshot?.[Symbol.dispose]();
  }
}

/** What outlives a device. */
interface Progress {
  snapshot: TrainingSnapshot | undefined;
  /** Steps in the snapshot. */
  done: number;
  /** Steps whose results were told. */
  told: number;
  /** Losses since the snapshot. */
  losses: number;
}

/** Runs the steps after the snapshot; returns how many are done in all. */
async function runSteps<P extends TrainingParts, R>(
  parts: P,
  run: (parts: P, step: number) => Promise<R>,
  state: Progress,
  { steps, snapshotEvery = 10, queued = 0, signal, prepare, onStep, onSnapshot }: ResumeOptions<P, R>,
): Promise<number> {
  const pending: { readonly step: number; readonly result: Promise<R> }[] = [];
  /** Waits until at most so many steps are queued. */
  const settle = async (most: number): Promise<void> => {
    while (pending.length > most) {
      const [{ step, result }] = pending.splice(0, 1);
      const told = await result;
      if (step < state.told) continue;
      state.told = step + 1;
      await onStep?.(step, told);
    }
  };
  let step = state.done;
  try {
    while (step < steps && signal?.aborted !== true) {
      await prepare?.(parts, step);
      const result = run(parts, step);
      result.catch(() => {}); // told when it is waited for
      pending.push({ step, result });
      step++;
      const isDue = step % snapshotEvery === 0 && step < steps;
      await settle(isDue ? 0 : queued);
      if (isDue) {
        const taken = await TrainingSnapshot.take(parts);
        state.snapshot?.[Symbol.dispose]();
        Object.assign(state, { snapshot: taken, done: step, losses: 0 });
        onSnapshot?.(step);
      }
      // Lets signals and timers in: the CPU device never waits.
      await new Promise((resolve) => setImmediate(resolve));
    }
    await settle(0);
    return step;
  } finally {
    await Promise.allSettled(pending.map(({ result }) => result));
  }
}
