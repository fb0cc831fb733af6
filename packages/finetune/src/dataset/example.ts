/** A row ready for the model. */
export interface Example {
  readonly inputIds: readonly number[];
  /** As long as `inputIds`; −100 is no loss. Position i predicts label i + 1, so label 0 never counts. */
  readonly labels: readonly number[];
  /** Number of its row or window in the file, from 1, for messages. */
  readonly row?: number;
}

/** The label that carries no loss, as in PyTorch and transformers. */
export const IGNORED = -100;

/** What was read from a file. */
export interface Dataset {
  readonly examples: readonly Example[];
  /** Rows of the file, or windows of a text, those left out included. */
  readonly rows: number;
  /** Rows without any target. */
  readonly leftOut: number;
  /** Rows longer than the sequence length, cut there. */
  readonly cut: number;
  /** Targets of all examples. */
  readonly targets: number;
}

/** Labels that something predicts. */
export function countTargets(labels: readonly number[]): number {
  let count = 0;
  for (let i = 1; i < labels.length; i++) if (labels[i] !== IGNORED) count++;
  return count;
}

/** What the user should know about the file, one line each. */
export function datasetNotices(
  name: string,
  { rows, leftOut, cut, examples }: Dataset,
  sequenceLength: number,
): string[] {
  const notices: string[] = [];
  if (leftOut > 0) notices.push(`${name}: ${leftOut} of ${rows} rows have no target and are left out.`);
  if (cut > 0)
    notices.push(
      `${name}: ${cut} of ${examples.length + leftOut} rows are longer than ${sequenceLength} tokens and are cut there. Raise --sequence-length to keep them whole.`,
    );
  return notices;
}
