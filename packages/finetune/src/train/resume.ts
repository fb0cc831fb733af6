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

export interface ResumeOptions<R> {
  readonly steps: number;
  /** Steps between snapshots: so many at most are done again after a loss. Default 10. */
  readonly snapshotEvery?: number;
  /** Losses without a new snapshot in between after which it gives up. Default 3. */
  readonly maxLosses?: number;
  /** Called once for each step (from 0), in order, also where it was done twice. */
  readonly onStep?: (step: number, result: R) => void | Promise<void>;
  /** Called when the device was lost, before another is opened; `step` is where it goes on. */
  readonly onLoss?: (error: DeviceLostError, step: number) => void;
}

/**
 * Runs training steps, and where the GPU is lost opens another one and goes on from the last snapshot, to the same losses.
 * @param open - loads the model onto a device and makes its optimiser, each time from the start
 * @param run - does step number `step`, with the same data whenever it is asked for it, and reads its results
 * @returns what `open` returned last, for saving
 * @throws DeviceLostError where the device is lost `maxLosses` times from one snapshot
 */
export async function trainResumably<P extends TrainingParts & Disposable, R>(
  open: () => Promise<P>,
  run: (parts: P, step: number) => Promise<R>,
  { steps, snapshotEvery = 10, maxLosses = 3, onStep, onLoss }: ResumeOptions<R>,
): Promise<P> {
  let parts: P | undefined;
  let snapshot: TrainingSnapshot | undefined;
  let done = 0;
  let told = 0;
  let losses = 0;
  for (;;) {
    try {
      if (parts === undefined) {
        parts = await open();
        await snapshot?.restore(parts);
      }
      for (let step = done; step < steps; ) {
        const result = await run(parts, step);
        step++;
        if (step > told) {
          told = step;
          await onStep?.(step - 1, result);
        }
        if (step % snapshotEvery !== 0 || step === steps) continue;
        const taken = await TrainingSnapshot.take(parts);
        snapshot?.[Symbol.dispose]();
        snapshot = taken;
        done = step;
        losses = 0;
      }
      snapshot?.[Symbol.dispose]();
      return parts;
    } catch (error) {
      parts?.[Symbol.dispose]();
      parts = undefined;
      if (!(error instanceof DeviceLostError) || ++losses > maxLosses) {
        snapshot?.[Symbol.dispose]();
        throw error;
      }
      onLoss?.(error, done);
    }
  }
}
