import { arrayOf, bytesPer, type DType, type TypedArray } from "../../dtype.ts";
import { DeviceError, DTypeError, internal } from "../../errors.ts";
import type { GpuInfo, Kernel } from "../../ops/kernel.ts";
import type { Op } from "../../ops/op.ts";
import { sizeOf } from "../../shape.ts";
import type { Counters, Device, MemoryInfo, View } from "../device.ts";
import { Storage } from "../storage.ts";
import { Dispatch, SLOT } from "./dispatch.ts";
import { PipelineCache } from "./pipelines.ts";
import { BufferPool } from "./pool.ts";
import { warmUp } from "./warm.ts";

export interface GpuOptions {
  /** Bytes that tensors may take. Default: no limit of ours. */
  maxBytes?: number;
  /** How to wait for a promise of the device. Node's binding needs naps in between; a page awaits plainly. */
  settle?: <T>(promise: Promise<T>) => Promise<T>;
  /** Optional features that are asked for where the adapter has them. Default: all that Graft can use. */
  features?: readonly string[];
  /** "default": WebGPU's default limits, as any device must have. "adapter" (default): the adapter's buffer sizes. */
  limits?: "adapter" | "default";
  /** Whether params may go with the dispatch instead of through a buffer. Default: where the device can. */
  immediates?: boolean;
}

/** What a profiler puts between ops and the GPU. */
export interface Watcher {
  /** Called for each dispatch, which then gets a pass of its own, with this descriptor. */
  dispatched(dispatch: Dispatch): GPUComputePassDescriptor;
}

class GpuStorage extends Storage {
  readonly buffer: GPUBuffer;

  constructor(device: Device, buffer: GPUBuffer, bytes: number) {
    super(device, bytes);
    this.buffer = buffer;
  }
}

/** Dispatches after which the recorded work is submitted, so that the GPU starts while JavaScript goes on. */
const FLUSH_EVERY = 128;
/** Slots of params that are not immediates, in one buffer between two submits. */
const SLOTS = FLUSH_EVERY;

/** Tensors on a GPU through WebGPU: Dawn in Node, the browser's own in a page. */
export class GpuDevice implements Device {
  readonly kind = "webgpu";
  readonly name: string;
  readonly counters: Counters = {
    dispatches: 0,
    submits: 0,
    buffersCreated: 0,
    bindGroupsCreated: 0,
    pipelinesCreated: 0,
    readBacks: 0,
  };
  /** The raw device, for tools that check shaders. */
  readonly gpu: GPUDevice;
  readonly #pool: BufferPool;
  readonly #pipelines: PipelineCache;
  readonly #settle: <T>(promise: Promise<T>) => Promise<T>;
  /** Sees every dispatch while it is set. */
  watcher: Watcher | undefined;
  /** What generators of kernels know of the adapter. */
  readonly info: GpuInfo;
  readonly #ring: GPUBuffer;
  readonly #ringGroup: GPUBindGroup;
  readonly #slots = new Uint32Array((SLOT / 4) * SLOTS);
  #usedSlots = 0;
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  #pending = 0;
  #failure: Error | undefined;
  #lost: string | undefined;
  #scratch: GpuStorage[] = [];

  constructor(gpu: GPUDevice, name: string, options: GpuOptions = {}, adapter?: GPUAdapterInfo) {
    this.gpu = gpu;
    this.name = name;
    this.#settle = options.settle ?? ((promise) => promise);
    const maxBytes = options.maxBytes ?? Number.POSITIVE_INFINITY;
    this.#pool = new BufferPool(gpu, this.counters, maxBytes, () => this.flush());
    this.#pipelines = new PipelineCache(gpu, this.counters, options.immediates ?? false);
    // UNIFORM | COPY_DST
    this.#ring = gpu.createBuffer({ size: SLOT * SLOTS, usage: 0x40 | 0x08 });
    this.#ringGroup = this.slotGroup(this.#ring);
    const subgroups = gpu.features.has("subgroups");
    const { subgroupMinSize = 0, subgroupMaxSize = 0, isFallbackAdapter = false } = adapter ?? {};
    this.info = {
      subgroups,
      subgroupSize: subgroups && subgroupMinSize === subgroupMaxSize ? subgroupMinSize : 0,
      software: isFallbackAdapter,
      shaderF16: gpu.features.has("shader-f16"),
      scratch: (dtype, size) => {
        const storage = this.#take(dtype, size);
        this.#scratch.push(storage);
        return { shape: [size], dtype, storage, offset: 0 };
      },
    };
    gpu.onuncapturederror = (event) => {
      this.#failure ??= new DeviceError("webgpu", event.error.message);
    };
    void gpu.lost.then((info) => {
      this.#lost = info.message || info.reason || "unknown reason";
    });
  }

  allocate(dtype: DType, size: number): Storage {
    return this.#take(dtype, size);
  }

  #take(dtype: DType, size: number): GpuStorage {
    this.#checkAlive();
    const bytes = Math.ceil((size * bytesPer(dtype)) / 4) * 4;
    const buffer = this.#pool.take(bytes);
    return new GpuStorage(this, buffer, bytes);
  }

  upload(storage: Storage, values: TypedArray): void {
    if (values.byteLength === 0) return;
    // writeBuffer happens before work that is recorded but not submitted, and that work may use the buffer's former life.
    this.flush();
    const whole = values.byteLength % 4 === 0 ? values : padded(values);
    this.gpu.queue.writeBuffer(bufferOf(storage), 0, whole.buffer, whole.byteOffset, whole.byteLength);
  }

  async read(view: View): Promise<TypedArray> {
    const size = sizeOf(view.shape);
    const values = arrayOf(view.dtype, size);
    if (size === 0) return values;
    this.#checkAlive();
    this.counters.readBacks++;
    const start = view.offset * bytesPer(view.dtype);
    const from = Math.floor(start / 4) * 4;
    const bytes = Math.ceil((start + values.byteLength - from) / 4) * 4;
    // MAP_READ | COPY_DST
    const staging = this.gpu.createBuffer({ size: bytes, usage: 0x01 | 0x08 });
    this.#endPass();
    this.#commands().copyBufferToBuffer(bufferOf(view.storage), from, staging, 0, bytes);
    this.flush();
    try {
      await this.#settle(staging.mapAsync(1));
    } catch (error) {
      throw new DeviceError(
        "webgpu",
        `the device was lost while a result was read (${this.#lost ?? (error instanceof Error ? error.message : String(error))}). Open another device and load the last checkpoint.`,
      );
    }
    const mapped = new Uint8Array(staging.getMappedRange());
    new Uint8Array(values.buffer).set(mapped.subarray(start - from, start - from + values.byteLength));
    staging.unmap();
    staging.destroy();
    this.#checkAlive();
    return values;
  }

  /** Waits until everything that was queued is done. */
  async finish(): Promise<void> {
    this.flush();
    await this.#settle(this.gpu.queue.onSubmittedWorkDone());
    this.#checkAlive();
  }

  run<A>(op: Op<A>, inputs: readonly View[], outputs: readonly View[], attrs: A): void {
    this.#checkAlive();
    if (op.wgsl === undefined) throw internal(`${op.name} has no WGSL kernel`);
    for (const kernel of op.wgsl(inputs, outputs, attrs, this.info)) {
      if (kernel.count > 0) this.#dispatch(op.name, kernel);
    }
    for (const storage of this.#scratch) this.#pool.give(storage.buffer);
    this.#scratch = [];
  }

  #dispatch(op: string, kernel: Kernel): void {
    const dispatch = this.prepare(op, kernel);
    const group = this.bindGroup(dispatch);
    if (dispatch.mode === "immediate") dispatch.encode(this.pass(dispatch), group);
    else {
      const offset = SLOT * this.#usedSlots++;
      this.#slots.set(dispatch.words, offset / 4);
      dispatch.encode(this.pass(dispatch), group, this.#ringGroup, offset);
    }
    this.countDispatch();
  }

  /** The pipeline, params and grid of a kernel. Throws where the device was lost. */
  prepare(op: string, kernel: Kernel): Dispatch {
    const { pipeline, layout, mode } = this.#pipelines.get(op, kernel);
    const dispatch = new Dispatch(op, kernel, pipeline, layout, mode);
    if (dispatch.words.byteLength > SLOT)
      throw internal(`${op} has ${dispatch.words.length} params, at most ${SLOT / 4} fit`);
    return dispatch;
  }

  /** Group 0 of a dispatch: the whole buffers of its kernel's bindings, or of other storages in their order. */
  bindGroup(
    { kernel, layout }: Dispatch,
    storages: readonly Storage[] = kernel.bindings.map(({ view }) => view.storage),
  ): GPUBindGroup {
    this.counters.bindGroupsCreated++;
    return this.gpu.createBindGroup({
      layout,
      entries: storages.map((storage, binding) => ({ binding, resource: { buffer: bufferOf(storage) } })),
    });
  }

  /** Group 1 of dispatches whose params are not immediates: slots of SLOT bytes in a uniform buffer. */
  slotGroup(buffer: GPUBuffer): GPUBindGroup {
    return this.gpu.createBindGroup({
      layout: this.#pipelines.uniformLayout,
      entries: [{ binding: 0, resource: { buffer, size: SLOT } }],
    });
  }

  /** The pass to record a dispatch in. Ask again for each one: counting it may submit, and a profiler wants passes of its own. */
  pass(dispatch: Dispatch): GPUComputePassEncoder {
    if (this.watcher !== undefined) {
      this.#endPass();
      this.#pass = this.#commands().beginComputePass(this.watcher.dispatched(dispatch));
    }
    this.#pass ??= this.#commands().beginComputePass();
    return this.#pass;
  }

  /** To be called after each dispatch that was recorded; submits where enough is. */
  countDispatch(): void {
    this.counters.dispatches++;
    if (++this.#pending >= FLUSH_EVERY) this.flush();
  }

  /**
   * Makes the pipelines of kernels in parallel and runs each new one once on nothing, since drivers compile as late as at a
   * pipeline's first dispatch.
   */
  async warm(kernels: Iterable<readonly [op: string, kernel: Kernel]>): Promise<void> {
    this.#checkAlive();
    await this.#settle(warmUp(this, this.#pipelines, kernels));
    this.#checkAlive();
  }

  #commands(): GPUCommandEncoder {
    this.#encoder ??= this.gpu.createCommandEncoder();
    return this.#encoder;
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
  }

  /** Submits what is recorded. */
  flush(): void {
    if (this.#encoder === undefined) return;
    this.#endPass();
    if (this.#usedSlots > 0)
      this.gpu.queue.writeBuffer(this.#ring, 0, this.#slots, 0, (this.#usedSlots * SLOT) / 4);
    this.gpu.queue.submit([this.#encoder.finish()]);
    this.counters.submits++;
    this.#encoder = undefined;
    this.#pending = 0;
    this.#usedSlots = 0;
  }

  free(storage: Storage): void {
    this.#pool.give(bufferOf(storage));
  }

  checkDType(who: string, dtype: DType): void {
    if (dtype === "f64")
      throw new DTypeError(
        who,
        "f64 is only on the CPU device, got a tensor on webgpu. WGSL has no double precision: use f32.",
      );
  }

  memory(): MemoryInfo {
    const { liveBytes, liveBuffers, pooledBytes, peakBytes } = this.#pool;
    return { liveBytes, liveBuffers, pooledBytes, peakBytes };
  }

  close(): void {
    if (this.#lost !== undefined) return;
    this.flush();
    this.#pool.trim();
    this.#lost = "it was closed";
    this.gpu.destroy();
  }

  #checkAlive(): void {
    if (this.#lost !== undefined)
      throw new DeviceError(
        "webgpu",
        `the device was lost (${this.#lost}). Open another one and load the last checkpoint.`,
      );
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      this.#failure = undefined;
      throw failure;
    }
  }
}

/** The buffer behind a storage of a GpuDevice. */
export function bufferOf(storage: Storage): GPUBuffer {
  if (!(storage instanceof GpuStorage))
    throw internal("a storage of another device came to the webgpu device");
  return storage.buffer;
}

function padded(values: TypedArray): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(values.byteLength / 4) * 4);
  bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  return bytes;
}
