import { foldIn, type Key, keyOf } from "./threefry.ts";

/**
 * Hands out keys: the n-th call gives the key of (seed, n), so a generator is two numbers that a checkpoint can hold.
 * There is no global one.
 */
export class Generator {
  readonly seed: number;
  /** How many keys were handed out. Set it to go back or forth. */
  count: number;
  readonly #key: Key;

  constructor(seed = 0, count = 0) {
    this.seed = seed;
    this.count = count;
    this.#key = keyOf(seed);
  }

  /** The next key. In a compiled step it is another one at each replay, as if the step had run again. */
  next(): Key {
    witness?.(this);
    const key = this.keyAt(this.count++);
    return tracer === undefined ? key : tracer(this, this.count - 1, key);
  }

  /** The key of call number `count`. */
  keyAt(count: number): Key {
    return foldIn(this.#key, count);
  }
}

let witness: ((generator: Generator) => void) | undefined;
let tracer: ((generator: Generator, count: number, key: Key) => Key) | undefined;

/** Runs `fn` and lets `onKey` replace the keys that generators give in it. For compiled steps. */
export function traceKeys<T>(onKey: (generator: Generator, count: number, key: Key) => Key, fn: () => T): T {
  const outer = tracer;
  tracer = onKey;
  try {
    return fn();
  } finally {
    tracer = outer;
  }
}

/** Where the generators that a function used stood before it. */
export type Snapshot = ReadonlyMap<Generator, number>;

/** Runs `fn` and tells which generators it drew from, and where they stood. */
export function recordGenerators<T>(fn: () => T): { result: T; before: Snapshot } {
  const before = new Map<Generator, number>();
  const outer = witness;
  witness = (generator) => {
    outer?.(generator);
    if (!before.has(generator)) before.set(generator, generator.count);
  };
  try {
    return { result: fn(), before };
  } finally {
    witness = outer;
  }
}

/** Runs `fn` with the generators set back to a snapshot, and restores them afterwards. */
export function replayGenerators<T>(snapshot: Snapshot, fn: () => T): T {
  const now = [...snapshot.keys()].map((generator) => [generator, generator.count] as const);
  for (const [generator, count] of snapshot) generator.count = count;
  try {
    return fn();
  } finally {
    for (const [generator, count] of now) generator.count = count;
  }
}
