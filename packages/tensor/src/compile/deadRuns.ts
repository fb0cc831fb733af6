import type { Storage } from "../device/storage.ts";
import { type Run, TracedStorage } from "./trace.ts";

/**
 * The runs whose results somebody sees: a result of the step, or a captured tensor that changes in place. `wanted` are the
 * traced storages that outlive the step.
 */
export function withoutDead(runs: readonly Run[], wanted: Iterable<Storage>): Run[] {
  const needed = new Set<Storage>(wanted);
  const isSeen = (storage: Storage): boolean => !(storage instanceof TracedStorage) || needed.has(storage);
  const kept: Run[] = [];
  for (const run of [...runs].reverse()) {
    const changed = [...run.outputs, ...(run.op.mutates ?? []).map((i) => run.inputs[i])];
    if (!changed.some(({ storage }) => isSeen(storage))) continue;
    for (const { storage } of run.inputs) needed.add(storage);
    kept.push(run);
  }
  return kept.reverse();
}
