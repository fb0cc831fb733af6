import type { View } from "../device.ts";
import type { Storage } from "../storage.ts";

/** Bytes of a buffer that tables share. */
const ARENA = 2 ** 16;
/** After so many buffers of tables the old ones are forgotten (by their users too, in time) and found again anew. */
const MOST_ARENAS = 16;

/**
 * Small tables of words that kernels read, found again by their contents. A table is written once, to a place that no work has
 * used, so nothing has to be submitted before. Buffers are never destroyed by hand: what was recorded or compiled with one keeps it.
 */
export class Constants {
  readonly #gpu: GPUDevice;
  readonly #wrap: (buffer: GPUBuffer) => Storage;
  readonly #known = new Map<string, View>();
  #arena: { readonly buffer: GPUBuffer; readonly storage: Storage } | undefined;
  #used = 0;
  #arenas = 0;

  constructor(gpu: GPUDevice, wrap: (buffer: GPUBuffer) => Storage) {
    this.#gpu = gpu;
    this.#wrap = wrap;
  }

  get(words: readonly number[]): View {
    const key = words.join();
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    // Whole vec4s, so that each table begins at one.
    const values = new Uint32Array(Math.max(4, Math.ceil(words.length / 4) * 4));
    values.set(words);
    if (this.#arena === undefined || this.#used + values.byteLength > this.#arena.buffer.size)
      this.#arena = this.#begin(values.byteLength);
    const { buffer, storage } = this.#arena;
    this.#gpu.queue.writeBuffer(buffer, this.#used, values);
    const view: View = { shape: [values.length], dtype: "u32", storage, offset: this.#used / 4 };
    this.#used += values.byteLength;
    this.#known.set(key, view);
    return view;
  }

  #begin(atLeast: number) {
    if (this.#arenas === MOST_ARENAS) {
      this.#known.clear();
      this.#arenas = 0;
    }
    this.#arenas++;
    this.#used = 0;
    // STORAGE | COPY_DST
    const buffer = this.#gpu.createBuffer({ size: Math.max(ARENA, atLeast), usage: 0x80 | 0x08 });
    return { buffer, storage: this.#wrap(buffer) };
  }
}
