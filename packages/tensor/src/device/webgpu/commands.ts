import type { Counters } from "../device.ts";
import { type Dispatch, SLOT } from "./dispatch.ts";

/** When recorded work is submitted, so that the GPU starts while JavaScript goes on. Whichever comes first. */
export interface FlushPolicy {
  /** Dispatches. */
  readonly dispatches: number;
  /** Bytes of the tensors that they bind. */
  readonly bytes: number;
}

/** What a profiler puts between ops and the GPU. */
export interface Watcher {
  /** Called for each dispatch, which then gets a pass of its own, with this descriptor. */
  dispatched(dispatch: Dispatch): GPUComputePassDescriptor;
  /** Called before recorded work is submitted; may add commands. */
  flushing(encoder: GPUCommandEncoder): void;
}

/**
 * Dawn gives back the memory of uploads and destroyed buffers at the next submit only: 600 uploads of 1 MiB without one
 * grow the process by 600 MB.
 */
const MOST_UPLOADED = 2 ** 25;

/** Records commands in one encoder and one open pass, and submits them in parts. */
export class Commands {
  /** Sees every dispatch while it is set. */
  watcher: Watcher | undefined;
  readonly #gpu: GPUDevice;
  readonly #counters: Counters;
  readonly #policy: FlushPolicy;
  readonly #ring: GPUBuffer;
  readonly #ringGroup: GPUBindGroup;
  readonly #slots: Uint32Array<ArrayBuffer>;
  #usedSlots = 0;
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  #dispatches = 0;
  #bytes = 0;
  #uploaded = 0;

  /** @param layout - of group 1: a uniform buffer with a dynamic offset */
  constructor(gpu: GPUDevice, counters: Counters, policy: FlushPolicy, layout: GPUBindGroupLayout) {
    this.#gpu = gpu;
    this.#counters = counters;
    this.#policy = policy;
    this.#slots = new Uint32Array((SLOT / 4) * policy.dispatches);
    // UNIFORM | COPY_DST
    this.#ring = gpu.createBuffer({ size: this.#slots.byteLength, usage: 0x40 | 0x08 });
    this.#ringGroup = gpu.createBindGroup({
      layout,
      entries: [{ binding: 0, resource: { buffer: this.#ring, size: SLOT } }],
    });
  }

  /** Records a dispatch that is run once. */
  record(dispatch: Dispatch, group: GPUBindGroup): void {
    if (dispatch.mode === "immediate") dispatch.encode(this.pass(dispatch), group);
    else {
      // Each dispatch that takes a slot is counted, so the ring is submitted before it is full.
      const offset = SLOT * this.#usedSlots++;
      this.#slots.set(dispatch.words, offset / 4);
      dispatch.encode(this.pass(dispatch), group, this.#ringGroup, offset);
    }
    this.count();
  }

  /** The pass to record a dispatch in. */
  pass(dispatch: Dispatch): GPUComputePassEncoder {
    this.#bytes += dispatch.bytes;
    if (this.watcher !== undefined) {
      const encoder = this.encoder();
      this.#pass = encoder.beginComputePass(this.watcher.dispatched(dispatch));
    }
    if (this.#pass === undefined) {
      this.#encoder ??= this.#gpu.createCommandEncoder();
      this.#pass = this.#encoder.beginComputePass();
    }
    return this.#pass;
  }

  /** To be called after each dispatch that was recorded; submits where enough is. */
  count(): void {
    this.#counters.dispatches++;
    if (++this.#dispatches >= this.#policy.dispatches || this.#bytes >= this.#policy.bytes) this.flush();
  }

  /** The encoder, outside of a pass, for copies. */
  encoder(): GPUCommandEncoder {
    this.#endPass();
    this.#encoder ??= this.#gpu.createCommandEncoder();
    return this.#encoder;
  }

  /** Copies host bytes, a multiple of 4, to the start of a buffer, after all that was recorded. */
  upload(buffer: GPUBuffer, start: number, { buffer: data, byteOffset, byteLength }: ArrayBufferView): void {
    // The queue would write before work that is recorded but not submitted, and that work may use the buffer's former life.
    this.flush();
    this.#gpu.queue.writeBuffer(buffer, start, data, byteOffset, byteLength);
    this.#uploaded += byteLength;
    if (this.#uploaded > MOST_UPLOADED) this.reclaim();
  }

  /** Submits what is recorded. */
  flush(): void {
    if (this.#encoder === undefined) return;
    this.#endPass();
    this.watcher?.flushing(this.#encoder);
    if (this.#usedSlots > 0)
      this.#gpu.queue.writeBuffer(this.#ring, 0, this.#slots, 0, (this.#usedSlots * SLOT) / 4);
    const commands = this.#encoder.finish();
    this.#encoder = undefined;
    this.#dispatches = 0;
    this.#bytes = 0;
    this.#usedSlots = 0;
    this.#uploaded = 0;
    this.#counters.submits++;
    this.#gpu.queue.submit([commands]);
  }

  /** Lets Dawn give back the memory of uploads and destroyed buffers. */
  reclaim(): void {
    this.#uploaded = 0;
    this.#gpu.queue.submit([]);
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
  }
}
