import type { Counters } from "../device.ts";

/** Bytes up to which a buffer is kept for the next read; losses and norms take 4. */
const MOST_KEPT = 2 ** 16;
/** Buffers that are kept: so many reads of steps can be under way without making one. */
const KEPT = 8;

/** Buffers that results are copied to for reading. Small ones go round; a large one lives for one read. */
export class Staging {
  readonly #gpu: GPUDevice;
  readonly #counters: Counters;
  readonly #free: GPUBuffer[] = [];

  constructor(gpu: GPUDevice, counters: Counters) {
    this.#gpu = gpu;
    this.#counters = counters;
  }

  /** A buffer of at least `bytes` that can be copied to and mapped. */
  take(bytes: number): GPUBuffer {
    const at = this.#free.findIndex((buffer) => buffer.size >= bytes);
    if (at >= 0) return this.#free.splice(at, 1)[0];
    this.#counters.buffersCreated++;
    const size = bytes > MOST_KEPT ? bytes : Math.max(256, 2 ** Math.ceil(Math.log2(bytes)));
    return this.#gpu.createBuffer({ size, usage: 0x01 | 0x08 }); // MAP_READ | COPY_DST
  }

  /** Gives an unmapped buffer back. */
  give(buffer: GPUBuffer): void {
    if (buffer.size > MOST_KEPT || this.#free.length === KEPT) {
      buffer.destroy();
      return;
    }
    const at = this.#free.findIndex((other) => other.size > buffer.size);
    this.#free.splice(at < 0 ? this.#free.length : at, 0, buffer);
  }
}
