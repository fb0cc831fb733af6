import { createRandom, permutation } from "../random.ts";
import { countTargets, type Example, IGNORED } from "./example.ts";

/** Rows side by side, each filled up to the longest. */
export interface Batch {
  /** `[rows, length]`, row after row. */
  readonly inputIds: Int32Array;
  /** `[rows, length]`; −100 is no loss. Position i predicts label i + 1. */
  readonly labels: Int32Array;
  readonly rows: number;
  readonly length: number;
  /** Labels that count. */
  readonly targets: number;
}

/** @param padding - token that fills shorter rows; causal attention never sees it. Default 0 */
export function makeBatch(examples: readonly Example[], padding = 0): Batch {
  const rows = examples.length;
  const length = Math.max(...examples.map((example) => example.inputIds.length));
  const inputIds = new Int32Array(rows * length).fill(padding);
  const labels = new Int32Array(rows * length).fill(IGNORED);
  let targets = 0;
  examples.forEach((example, row) => {
    inputIds.set(example.inputIds, row * length);
    labels.set(example.labels, row * length);
    targets += countTargets(example.labels);
  });
  return { inputIds, labels, rows, length, targets };
}

export interface OrderOptions {
  /** A new order for every pass over the rows; else the order of the file each time. */
  readonly shuffle: boolean;
  readonly seed: number;
}

/** The rows to use one after the other, without end: when the last is used it goes on with the first. */
export function* rowOrder(count: number, { shuffle, seed }: OrderOptions): Generator<number, never> {
  for (let epoch = 0; ; epoch++) {
    if (shuffle) yield* permutation(count, createRandom(seed, epoch));
    else for (let i = 0; i < count; i++) yield i;
  }
}

export interface TrainingBatchOptions extends OrderOptions {
  /** Rows per micro-batch. */
  readonly batchSize: number;
  /** Micro-batches per step. */
  readonly accumulate: number;
}

/** What one optimiser step works on: `accumulate` micro-batches. */
export interface StepBatches {
  readonly batches: readonly Batch[];
  /** Labels that count in all of them; the step's loss and gradient are means over these. */
  readonly targets: number;
}

/** The micro-batches of step after step, without end; every step takes batchSize × accumulate rows. */
export function* trainingBatches(
  examples: readonly Example[],
  options: TrainingBatchOptions,
): Generator<StepBatches, never> {
  const order = rowOrder(examples.length, options);
  for (;;) {
    const batches = Array.from({ length: options.accumulate }, () =>
      makeBatch(Array.from({ length: options.batchSize }, () => examples[order.next().value])),
    );
    yield { batches, targets: batches.reduce((sum, batch) => sum + batch.targets, 0) };
  }
}

/** ceil(rows × epochs / (batchSize × accumulate)). */
export function stepsForEpochs(rows: number, epochs: number, batchSize: number, accumulate: number): number {
  // The tiny factor keeps 70 × 0.1 = 7.000000000000001 from becoming 8.
  return Math.max(1, Math.ceil(((rows * epochs) / (batchSize * accumulate)) * (1 - 1e-12)));
}
