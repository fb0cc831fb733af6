import type { Run } from "./trace.ts";

/** The passes that make fewer and larger runs of a step. */
export function rewrite(runs: readonly Run[]): readonly Run[] {
  return runs;
}
