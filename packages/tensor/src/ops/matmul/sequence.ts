import { writtenBy } from "../../compile/links.ts";
import { type Run, TracedStorage } from "../../compile/trace.ts";
import type { Storage } from "../../device/storage.ts";

/** A run that a pass may move, and the place where it stands now. */
export interface Moving {
  readonly run: Run;
  readonly at: number;
}

/** A list of runs in which some are replaced by others and moved, as long as everyone reads and writes what he did before. */
export class Sequence {
  readonly #nodes = new Set<Moving>();
  readonly #writers = new Map<Storage, Set<Moving>>();
  readonly #readers = new Map<Storage, Set<Moving>>();

  constructor(runs: readonly Run[]) {
    runs.forEach((run, at) => {
      this.#add({ run, at });
    });
  }

  /** The runs as they stand now, in order. */
  nodes(): Moving[] {
    return [...this.#nodes].sort((one, other) => one.at - other.at);
  }

  runs(): Run[] {
    return this.nodes().map(({ run }) => run);
  }

  /** The run that makes a traced value, where no other writes to it. */
  producerOf(storage: Storage): Moving | undefined {
    const writers = this.#writers.get(storage);
    if (!(storage instanceof TracedStorage) || writers?.size !== 1) return undefined;
    const [writer] = writers;
    return writer.run.outputs.some((output) => output.storage === storage) ? writer : undefined;
  }

  readersOf(storage: Storage): Moving[] {
    return [...(this.#readers.get(storage) ?? [])];
  }

  /** Whether only `to` reads what `from` makes, and `from` could run in its place. */
  feeds(from: Moving, to: Moving): boolean {
    return (
      from.run.outputs.every(({ storage }) => this.readersOf(storage).every((reader) => reader === to)) &&
      this.#canMove(from, to.at, new Set([from, to]))
    );
  }

  /** Which of two runs, neither of which needs the other, can have both in its place. */
  meetingOf(one: Moving, other: Moving): Moving | undefined {
    const both = new Set([one, other]);
    const reads = (reader: Moving, writer: Moving) =>
      writtenBy(writer.run).some((storage) => this.#readers.get(storage)?.has(reader) ?? false);
    if (reads(one, other) || reads(other, one)) return undefined;
    if (this.#canMove(other, one.at, both)) return one;
    return this.#canMove(one, other.at, both) ? other : undefined;
  }

  /** Puts a run in the place of one of those that it replaces. */
  replace(old: readonly Moving[], place: Moving, run: Run): Moving {
    for (const node of old) this.#remove(node);
    const node = { run, at: place.at };
    this.#add(node);
    return node;
  }

  /** Whether nothing between a run and a place writes what it reads, or reads or writes what it writes. */
  #canMove(node: Moving, to: number, except: ReadonlySet<Moving>): boolean {
    const low = Math.min(node.at, to);
    const high = Math.max(node.at, to);
    const isClear = (others: ReadonlySet<Moving> | undefined): boolean => {
      for (const other of others ?? [])
        if (!except.has(other) && other.at >= low && other.at <= high) return false;
      return true;
    };
    return (
      node.run.inputs.every(({ storage }) => isClear(this.#writers.get(storage))) &&
      writtenBy(node.run).every(
        (storage) => isClear(this.#readers.get(storage)) && isClear(this.#writers.get(storage)),
      )
    );
  }

  #add(node: Moving): void {
    this.#nodes.add(node);
    for (const storage of writtenBy(node.run)) note(this.#writers, storage, node);
    for (const { storage } of node.run.inputs) note(this.#readers, storage, node);
  }

  #remove(node: Moving): void {
    this.#nodes.delete(node);
    for (const storage of writtenBy(node.run)) this.#writers.get(storage)?.delete(node);
    for (const { storage } of node.run.inputs) this.#readers.get(storage)?.delete(node);
  }
}

function note(map: Map<Storage, Set<Moving>>, storage: Storage, node: Moving): void {
  const known = map.get(storage);
  if (known === undefined) map.set(storage, new Set([node]));
  else known.add(node);
}
