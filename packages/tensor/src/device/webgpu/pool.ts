import { OutOfMemoryError } from "../../errors.ts";
import type { Counters } from "../device.ts";

/** Freed buffers by size, to be used again: making one costs tens of microseconds, and Dawn frees late. */
export class BufferPool {
  readonly #device: GPUDevice;
  readonly #counters: Counters;
  readonly #maxBytes: number;
  readonly #beforeTrim: () => void;
  readonly #free = new Map<number, GPUBuffer[]>();
  pooledBytes = 0;
  liveBytes = 0;
  liveBuffers = 0;
  peakBytes = 0;

  /** `beforeTrim` must submit recorded work: it may still use buffers that were freed after it was recorded. */
  constructor(device: GPUDevice, counters: Counters, maxBytes: number, beforeTrim: () => void) {
    this.#device = device;
    this.#counters = counters;
    this.#maxBytes = maxBytes;
    this.#beforeTrim = beforeTrim;
  }

  /** A buffer of at least `bytes`. Its contents are unspecified. */
  take(bytes: number): GPUBuffer {
    const size = bucket(bytes);
    const most = this.#device.limits.maxBufferSize;
    if (size > most) {
      throw new OutOfMemoryError(
        "webgpu",
        `one tensor of ${bytes} bytes does not fit, a buffer of the device holds at most ${most}. Use a smaller batch, a shorter sequence or fewer bits.`,
      );
    }
    const waiting = this.#free.get(size);
    let buffer = waiting?.pop();
    if (buffer !== undefined) this.pooledBytes -= size;
    else {
      if (this.liveBytes + this.pooledBytes + size > this.#maxBytes) this.trim();
      if (this.liveBytes + size > this.#maxBytes) {
        throw new OutOfMemoryError(
          "webgpu",
          `${bytes} bytes do not fit: ${this.liveBytes} of ${this.#maxBytes} are in use. Use a smaller batch or a shorter sequence.`,
        );
      }
      // STORAGE | COPY_SRC | COPY_DST
      buffer = this.#device.createBuffer({ size, usage: 0x80 | 0x04 | 0x08 });
      this.#counters.buffersCreated++;
    }
    this.liveBytes += size;
    this.liveBuffers++;
    this.peakBytes = Math.max(this.peakBytes, this.liveBytes);
    return buffer;
  }

  give(buffer: GPUBuffer): void {
    const size = buffer.size;
    this.liveBytes -= size;
    this.liveBuffers--;
    this.pooledBytes += size;
    const waiting = this.#free.get(size);
    if (waiting === undefined) this.#free.set(size, [buffer]);
    else waiting.push(buffer);
  }

  /** Destroys a buffer instead of keeping it. */
  drop(buffer: GPUBuffer): void {
    this.liveBytes -= buffer.size;
    this.liveBuffers--;
    buffer.destroy();
  }

  /** Destroys every buffer that waits. */
  trim(): void {
    this.#beforeTrim();
    for (const buffers of this.#free.values()) for (const buffer of buffers) buffer.destroy();
    this.#free.clear();
    this.pooledBytes = 0;
    // Dawn gives the memory back at the next submit only.
    this.#device.queue.submit([]);
  }
}

/** Sizes are rounded up so that buffers of nearly equal tensors can be exchanged: to 1/8 of the next lower power of two. */
export function bucket(bytes: number): number {
  const size = Math.max(256, bytes);
  const step = Math.max(256, 2 ** Math.floor(Math.log2(size)) / 8);
  return Math.ceil(size / step) * step;
}
