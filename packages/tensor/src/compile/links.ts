import type { View } from "../device/device.ts";
import type { Storage } from "../device/storage.ts";
import { type Run, TracedStorage } from "./trace.ts";

/** A pass over a step: gives a list that does the same. `leaving` are the storages that outlive the step. */
export type Pass = (runs: readonly Run[], leaving: ReadonlySet<Storage>) => readonly Run[];

/** Storages that a run writes: its outputs, and inputs that it changes in place. */
export const writtenBy = ({ op, inputs, outputs }: Run): Storage[] => [
  ...outputs.map(({ storage }) => storage),
  ...(op.mutates ?? []).map((i) => inputs[i].storage),
];

/** Who writes and reads what in a list of runs. Runs are named by their place in it. */
export class Links {
  readonly #writers = new Map<Storage, number[]>();
  readonly #readers = new Map<Storage, number[]>();
  readonly #runs: readonly Run[];
  readonly #leaving: ReadonlySet<Storage>;

  constructor(runs: readonly Run[], leaving: ReadonlySet<Storage>) {
    this.#runs = runs;
    this.#leaving = leaving;
    runs.forEach((run, at) => {
      for (const storage of new Set(writtenBy(run))) push(this.#writers, storage, at);
      for (const storage of new Set(run.inputs.map((input) => input.storage)))
        push(this.#readers, storage, at);
    });
  }

  /** The run that makes the whole of a traced value, where no other writes to it. */
  producerOf({ storage }: View): number | undefined {
    if (!(storage instanceof TracedStorage)) return undefined;
    const writers = this.#writers.get(storage) ?? [];
    if (writers.length !== 1) return undefined;
    return this.#runs[writers[0]].outputs.some((output) => output.storage === storage)
      ? writers[0]
      : undefined;
  }

  /** The runs that write any part of a storage, in order. */
  writersOf(storage: Storage): readonly number[] {
    return this.#writers.get(storage) ?? [];
  }

  /** The runs that read any part of a storage, in order. */
  readersOf(storage: Storage): readonly number[] {
    return this.#readers.get(storage) ?? [];
  }

  /**
   * Whether run `to` can take over from run `from`, which made `value`: nobody else reads it, and what `from` reads is the
   * same at the place of `to`.
   */
  isFeeding({ storage }: View, from: number, to: number): boolean {
    return (
      !this.isSeen(storage) &&
      this.readersOf(storage).every((reader) => reader === to) &&
      this.#runs[from].outputs.every(
        (output) => output.storage === storage || this.isUnread(output.storage),
      ) &&
      this.#runs[from].inputs.every((input) => this.isStable(input, from, to))
    );
  }

  isUnread(storage: Storage): boolean {
    return !this.isSeen(storage) && this.readersOf(storage).length === 0;
  }

  /** Whether a storage outlives the step or is none of its own, so that its values must be there. */
  isSeen(storage: Storage): boolean {
    return !(storage instanceof TracedStorage) || this.#leaving.has(storage);
  }

  /** Whether a value can be read at place `to` instead of at `from`: nothing in between writes to it. */
  isStable({ storage }: View, from: number, to: number): boolean {
    return !(this.#writers.get(storage) ?? []).some((at) => at > from && at < to);
  }
}

function push(map: Map<Storage, number[]>, key: Storage, at: number): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [at]);
  else list.push(at);
}
