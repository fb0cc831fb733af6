/** A host computation that a compiled step repeats before each replay. */
export type Refresh = () => void;

let listener: ((refresh: Refresh) => void) | undefined;

/** Hears of every `everyStep` that `fn` reaches. For the tracer. */
export function hearLive<T>(onLive: (refresh: Refresh) => void, fn: () => T): T {
  const before = listener;
  listener = onLive;
  try {
    return fn();
  } finally {
    listener = before;
  }
}

/**
 * Numbers that change from step to step, as attributes of an op: computed now, and while a step is being compiled again before
 * each of its replays, in the order of the calls. The returned object (or array) is the same each time, with new values in it; so an
 * op that reads it must give its kernels params that are functions.
 */
export function everyStep<T extends object>(compute: () => T): T {
  const values = compute();
  listener?.(() => Object.assign(values, compute()));
  return values;
}
