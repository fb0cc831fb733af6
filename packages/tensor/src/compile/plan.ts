import type { Device } from "../device/device.ts";
import type { Storage } from "../device/storage.ts";
import type { DType } from "../dtype.ts";
import { TracedStorage } from "./trace.ts";

/** One buffer of a plan, used by several values in turn. */
export interface Slot {
  readonly dtype: DType;
  /** In values of `dtype`. */
  readonly size: number;
  /** What the device takes for it. */
  readonly bytes: number;
}

/** Which buffer holds each value of a step, and when. */
export interface MemoryPlan {
  readonly slots: readonly Slot[];
  readonly slotOf: ReadonlyMap<TracedStorage, number>;
  /** Of all slots together: the memory of the step beside what it captured. */
  readonly bytes: number;
}

interface Life {
  readonly storage: TracedStorage;
  readonly from: number;
  to: number;
}

/**
 * Gives every traced value a whole buffer, so that no dispatch binds one buffer for reading and for writing (which
 * WebGPU forbids), and lets values share a buffer whose lives do not touch. Largest first, each into the smallest buffer that is
 * free long enough.
 * @param touched - for each unit of work in order, the storages that it reads or writes
 * @param before - values that exist when the step begins (its arguments)
 * @param after - values that must outlive the step (its results)
 */
export function planMemory(
  device: Device,
  touched: readonly (readonly Storage[])[],
  before: readonly TracedStorage[],
  after: readonly TracedStorage[],
): MemoryPlan {
  const lives = new Map<TracedStorage, Life>();
  for (const storage of before) lives.set(storage, { storage, from: -1, to: -1 });
  touched.forEach((storages, at) => {
    for (const storage of storages) {
      if (!(storage instanceof TracedStorage)) continue;
      const life = lives.get(storage);
      if (life === undefined) lives.set(storage, { storage, from: at, to: at });
      else life.to = at;
    }
  });
  for (const storage of after) {
    const life = lives.get(storage);
    if (life !== undefined) life.to = touched.length;
    // No work writes a value of size zero.
    else lives.set(storage, { storage, from: 0, to: touched.length });
  }
  const bytesOf = ({ storage }: Life): number => device.footprint(storage.dtype, storage.size);
  const ordered = [...lives.values()].sort((a, b) => bytesOf(b) - bytesOf(a) || a.from - b.from);
  const slots: { slot: Slot; kind: string; lives: Life[] }[] = [];
  const slotOf = new Map<TracedStorage, number>();
  for (const life of ordered) {
    const { dtype, size } = life.storage;
    const kind = device.bufferClass(dtype);
    // Slots were made in descending size, so the last that is free is the smallest.
    let at = slots.length - 1;
    while (at >= 0 && !(slots[at].kind === kind && isFree(slots[at].lives, life))) at--;
    if (at < 0) {
      at = slots.length;
      slots.push({ slot: { dtype, size, bytes: bytesOf(life) }, kind, lives: [] });
    }
    slots[at].lives.push(life);
    slotOf.set(life.storage, at);
  }
  return {
    slots: slots.map(({ slot }) => slot),
    slotOf,
    bytes: slots.reduce((sum, { slot }) => sum + slot.bytes, 0),
  };
}

function isFree(lives: readonly Life[], { from, to }: Life): boolean {
  return lives.every((other) => other.to < from || to < other.from);
}
