import type { Batch } from "../dataset/batching.ts";
import { IGNORED } from "../dataset/example.ts";
import { supervisionOf } from "./loss.ts";

/**
 * The next larger of the lengths that steps are compiled for: four for each power of two, so that padding stays below a
 * quarter and batches of all lengths share a few programs.
 */
export function paddedLength(length: number): number {
  const step = Math.max(4, 2 ** (Math.floor(Math.log2(Math.max(1, length - 1))) - 2));
  return Math.ceil(length / step) * step;
}

/** What a step reads of a batch, filled up: rows with token 0, which causal attention never sees, targets with ones that count nothing. */
export interface PaddedBatch {
  /** `[rows, length]` */
  readonly ids: Int32Array;
  readonly rows: number;
  readonly length: number;
  readonly positions: Int32Array;
  readonly targets: Int32Array;
}

export function padBatch(batch: Batch): PaddedBatch {
  const { rows } = batch;
  const length = paddedLength(batch.length);
  const ids = new Int32Array(rows * length);
  for (let row = 0; row < rows; row++)
    ids.set(batch.inputIds.subarray(row * batch.length, (row + 1) * batch.length), row * length);
  const supervision = supervisionOf(batch);
  const count = paddedLength(supervision.targets.length);
  const positions = new Int32Array(count);
  supervision.positions.forEach((position, i) => {
    positions[i] = Math.floor(position / batch.length) * length + (position % batch.length);
  });
  const targets = new Int32Array(count).fill(IGNORED);
  targets.set(supervision.targets);
  return { ids, rows, length, positions, targets };
}
