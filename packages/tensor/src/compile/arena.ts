import type { Device } from "../device/device.ts";
import type { Storage } from "../device/storage.ts";
import type { Slot } from "./plan.ts";

/**
 * The buffers of a compiled step, shared by its programs: only one of them runs at a time, so that a second length needs
 * more memory only where it is longer.
 */
export class Arena {
  readonly #storages: { readonly storage: Storage; readonly slot: Slot }[] = [];
  /** Rises when a buffer was replaced by a larger one. */
  version = 0;

  /** A storage for each slot, in their order. Throws OutOfMemoryError, and then holds at most what it held before. */
  reserve(device: Device, slots: readonly Slot[]): Storage[] {
    const free = [...this.#storages];
    const found: (Storage | undefined)[] = slots.map(() => undefined);
    const missing: number[] = [];
    // Both come largest first; each takes the first of its class that nobody of this program has.
    slots.forEach((slot, i) => {
      const at = free.findIndex((held) => isAlike(device, held.slot, slot) && held.slot.bytes >= slot.bytes);
      if (at < 0) missing.push(i);
      else found[i] = free.splice(at, 1)[0].storage;
    });
    // What is too small for this program makes room for what it needs.
    const outgrown = missing.flatMap((i) => {
      const at = free.findIndex((held) => isAlike(device, held.slot, slots[i]));
      return at < 0 ? [] : free.splice(at, 1);
    });
    for (const held of outgrown) {
      this.#storages.splice(this.#storages.indexOf(held), 1);
      held.storage.release();
    }
    if (outgrown.length > 0) this.version++;
    const taken: Storage[] = [];
    try {
      for (const i of missing) {
        const storage = device.allocate(slots[i].dtype, slots[i].size);
        taken.push(storage);
        found[i] = storage;
      }
    } catch (error) {
      for (const storage of taken) storage.release();
      throw error;
    }
    for (const [k, i] of missing.entries()) this.#storages.push({ storage: taken[k], slot: slots[i] });
    this.#storages.sort((a, b) => b.slot.bytes - a.slot.bytes);
    return found.flatMap((storage) => storage ?? []);
  }

  /** Frees all buffers. */
  dispose(): void {
    for (const { storage } of this.#storages) storage.release();
    this.#storages.length = 0;
    this.version++;
  }
}

const isAlike = (device: Device, a: Slot, b: Slot): boolean =>
  device.bufferClass(a.dtype) === device.bufferClass(b.dtype);
