import { internal } from "../errors.ts";
import type { Device } from "./device.ts";

/** A buffer that tensors share: views of one storage count as its users, and the last one frees it. */
export abstract class Storage {
  readonly device: Device;
  readonly bytes: number;
  /** Where the values begin in what the device holds them in, in bytes: a multiple of 16. */
  start = 0;
  /** The storage that this is a part of, where `Device.join` has put several into one. */
  home: Storage | undefined;
  /** Rises with every change in place; a tensor saved for backward remembers it. */
  version = 0;
  /** The op that last changed the storage in place, for messages. */
  writer = "";
  #users = 1;

  constructor(device: Device, bytes: number) {
    this.device = device;
    this.bytes = bytes;
  }

  /** Who holds it: tensors, records of ops, compiled steps; of a storage that others are parts of, those. */
  get users(): number {
    return this.#users;
  }

  retain(): this {
    if (this.#users === 0) throw internal("a freed storage was retained");
    this.#users++;
    return this;
  }

  release(): void {
    if (this.#users === 0) throw internal("a storage was freed twice");
    if (--this.#users === 0) this.freed();
  }

  /** Nobody uses the storage any more. */
  protected freed(): void {
    this.device.free(this);
  }
}
