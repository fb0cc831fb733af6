/** Numbers that change from step to step, and the host computation that makes them. */
export interface Live {
  /** The object (or array) that ops hold as attributes. */
  readonly values: object;
  /** Made again before each replay of a compiled step, and copied into `values`. */
  compute: () => object;
  /** Takes back what `compute` has changed; where it is missing nobody knows what that is. */
  undo?: () => void;
}

/** The `undo` of a computation that only reads. */
export const changesNothing = (): void => {};

const known = new WeakSet<object>();

/** Whether an object came from `everyStep`, so that what is computed from it must be computed again too. */
export const isLive = (values: object): boolean => known.has(values);

let listener: ((live: Live) => void) | undefined;

/** Runs `fn` and hears of every `everyStep` that it reaches. For the tracer. */
export function hearLive<T>(onLive: (live: Live) => void, fn: () => T): T {
  const before = listener;
  listener = onLive;
  try {
    return fn();
  } finally {
    listener = before;
  }
}

/** Makes an object one that changes from step to step. */
export function hear(live: Live): void {
  known.add(live.values);
  listener?.(live);
}

/**
 * Numbers that change from step to step, as attributes of an op: computed now, and while a step is being compiled again before
 * each of its replays, in the order of the calls. The returned object (or array) is the same each time, with new values in it; so an
 * op that reads it must give its kernels params that are functions.
 * @param undo - takes back what `compute` changes beside what it returns (a counter), or `changesNothing`: tracing, which also
 * `warmUp` and `plan` do, then leaves everything as it was. Without it the first replay takes the numbers of the trace.
 */
export function everyStep<T extends object>(compute: () => T, undo?: () => void): T {
  const values = compute();
  hear({ values, compute, undo });
  return values;
}
