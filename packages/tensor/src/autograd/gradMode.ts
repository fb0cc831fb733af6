import { GradError } from "../errors.ts";

let enabled = true;

/** True where ops on tensors that require gradients are recorded. */
export function isGradEnabled(): boolean {
  return enabled;
}

function withMode<T>(who: string, mode: boolean, fn: () => T): T {
  const before = enabled;
  enabled = mode;
  let result: T;
  try {
    result = fn();
  } finally {
    enabled = before;
  }
  if (result instanceof Promise) {
    result.catch(() => {});
    throw new GradError(who, `fn must be synchronous, got an async function. Await outside of ${who}.`);
  }
  return result;
}

/** Runs a synchronous function without recording, as `torch.no_grad`. An async function is an error. */
export function noGrad<T>(fn: () => T): T {
  return withMode("noGrad", false, fn);
}

/** Runs a synchronous function with recording switched on, also inside `noGrad`. */
export function enableGrad<T>(fn: () => T): T {
  return withMode("enableGrad", true, fn);
}
