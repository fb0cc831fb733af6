import type { Run } from "../../compile/trace.ts";
import { arrayOf, bytesPer, type DType, type TypedArray } from "../../dtype.ts";
import { DeviceError, DeviceLostError, DTypeError, internal, OutOfMemoryError } from "../../errors.ts";
import { copyOp } from "../../ops/copyInto.ts";
import { flopsOf } from "../../ops/flops.ts";
import type { GpuInfo, Kernel } from "../../ops/kernel.ts";
import type { TileRecord } from "../../ops/matmul/record.ts";
import type { Op } from "../../ops/op.ts";
import { sizeOf } from "../../shape.ts";
import type { Counters, Device, Lowered, MemoryInfo, Replayer, View } from "../device.ts";
import type { Storage } from "../storage.ts";
import { Commands, type FlushPolicy, type Watcher } from "./commands.ts";
import { Constants } from "./constants.ts";
import { Dispatch, SLOT } from "./dispatch.ts";
import { bufferOf, GpuStorage, gpuStorage } from "./gpuStorage.ts";
import { PipelineCache } from "./pipelines.ts";
import { BufferPool, bucket } from "./pool.ts";
import { gpuReplayer, LoweredKernel } from "./replay.ts";
import { Staging } from "./staging.ts";
import { Waiting } from "./waiting.ts";
import { warmUp } from "./warm.ts";
import { type BindingLimits, rangeIn, rangesOf } from "./windows.ts";

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
  /**
   * Bytes of a buffer that a kernel sees through one binding; a longer tensor is bound in parts. Default, and at most, what the device
   * can. Smaller for tests; a multiple of 256.
   */
  bindingBytes?: number;
  /**
   * When recorded work is submitted; reading submits too. Default in Node 128 dispatches or 256 MiB of bound tensors; in pages, which must
   * draw in between, 48 or 64 MiB.
   */
  flush?: FlushPolicy;
  /**
   * Which kernels compute matrix products, as `tuneTiles` measured on this adapter. `device.info.tiles` tells it again. Default: the shipped
   * table's. The same record gives the same bits. ValueError for what is no record, or another adapter's.
   */
  tiles?: TileRecord;
}

/** Alignment of the parts of a joined buffer, in bytes: of a vec4 of f32. */
const PART = 16;
/** Bytes of the largest joined buffer: while it is made, its parts exist twice. */
const MOST_JOINED = 2 ** 28;

/** Names of errors with which promises of a device are rejected. */
const refusals = new Set(["AbortError", "OperationError", "GPUPipelineError"]);

const PAGE_FLUSH: FlushPolicy = { dispatches: 48, bytes: 2 ** 26 };

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
  readonly #limits: BindingLimits;
  readonly #pipelines: PipelineCache;
  readonly #commands: Commands;
  readonly #staging: Staging;
  readonly #waiting: Waiting;
  /** Resolves when the device is lost, with the error that pending reads and later calls get. */
  readonly lost: Promise<DeviceLostError>;
  /** What generators of kernels know of the adapter. */
  readonly info: GpuInfo;
  relocations = 0;
  #failure: Error | undefined;
  readonly #lose: (reason: string) => void;
  /** The submit that reads wait for. */
  #soon: Promise<void> | undefined;
  /** Ends of steps that the GPU may still be at. */
  readonly #marks: Promise<void>[] = [];
  #scratch: GpuStorage[] = [];

  constructor(gpu: GPUDevice, name: string, options: GpuOptions = {}, adapter?: GPUAdapterInfo) {
    this.gpu = gpu;
    this.name = name;
    this.#waiting = new Waiting(options.settle ?? ((promise) => promise));
    const maxBytes = options.maxBytes ?? Number.POSITIVE_INFINITY;
    this.#pool = new BufferPool(gpu, this.counters, maxBytes, () => this.flush());
    const { maxStorageBufferBindingSize, maxStorageBuffersPerShaderStage } = gpu.limits;
    this.#limits = {
      bytes: Math.min(options.bindingBytes ?? Number.POSITIVE_INFINITY, maxStorageBufferBindingSize),
      bindings: maxStorageBuffersPerShaderStage,
    };
    this.#pipelines = new PipelineCache(gpu, this.counters, options.immediates ?? false, this.#limits);
    const { uniformLayout } = this.#pipelines;
    this.#commands = new Commands(gpu, this.counters, options.flush ?? PAGE_FLUSH, uniformLayout);
    this.#staging = new Staging(gpu, this.counters);
    const constants = new Constants(gpu, (buffer) => new GpuStorage(this, buffer, buffer.size));
    const subgroups = gpu.features.has("subgroups");
    const { subgroupMinSize = 0, subgroupMaxSize = 0, isFallbackAdapter = false } = adapter ?? {};
    this.info = {
      subgroups,
      subgroupSize: subgroups && subgroupMinSize === subgroupMaxSize ? subgroupMinSize : 0,
      software: isFallbackAdapter,
      shaderF16: gpu.features.has("shader-f16"),
      tiles: options.tiles,
      scratch: (dtype, size) => {
        const storage = this.#take(dtype, size);
        this.#scratch.push(storage);
        return { shape: [size], dtype, storage, offset: 0 };
      },
      constants: (words) => constants.get(words),
    };
    gpu.onuncapturederror = ({ error }) => {
      this.#failure ??= this.#typed(error);
    };
    let lose: (loss: DeviceLostError) => void = () => {};
    this.lost = new Promise((resolve) => {
      lose = resolve;
    });
    this.#lose = (reason) => {
      this.#waiting.lose(new DeviceLostError(reason));
      if (this.#waiting.loss !== undefined) lose(this.#waiting.loss);
    };
    void gpu.lost.then(({ message, reason }) => this.#lose(message || reason || "unknown reason"));
  }

  /** Why the device was lost; undefined while it works. */
  get loss(): DeviceLostError | undefined {
    return this.#waiting.loss;
  }

  /** Sees every dispatch while it is set. */
  get watcher(): Watcher | undefined {
    return this.#commands.watcher;
  }

  set watcher(watcher: Watcher | undefined) {
    this.flush();
    this.#commands.watcher = watcher;
  }

  allocate(dtype: DType, size: number): Storage {
    return this.#take(dtype, size);
  }

  #take(dtype: DType, size: number): GpuStorage {
    this.checkAlive();
    const bytes = Math.ceil((size * bytesPer(dtype)) / 4) * 4;
    const buffer = this.#pool.take(bytes);
    if (this.#failure !== undefined) {
      // Node's binding tells at once that there is no memory; a page later.
      this.#pool.drop(buffer);
      this.checkAlive();
    }
    return new GpuStorage(this, buffer, bytes);
  }

  upload(storage: Storage, values: TypedArray): void {
    if (values.byteLength === 0) return;
    this.checkAlive();
    const whole = values.byteLength % 4 === 0 ? values : padded(values);
    this.#commands.upload(bufferOf(storage), storage.start, whole);
  }

  async read(view: View): Promise<TypedArray> {
    const size = sizeOf(view.shape);
    const values = arrayOf(view.dtype, size);
    if (size === 0) return values;
    this.checkAlive();
    this.counters.readBacks++;
    const start = view.storage.start + view.offset * bytesPer(view.dtype);
    const from = Math.floor(start / 4) * 4;
    const bytes = Math.ceil((start + values.byteLength - from) / 4) * 4;
    const staging = this.#staging.take(bytes);
    this.#commands.encoder().copyBufferToBuffer(bufferOf(view.storage), from, staging, 0, bytes);
    // Reads that are asked for together go in one submit.
    this.#soon ??= Promise.resolve().then(() => {
      this.#soon = undefined;
      this.flush();
    });
    await this.#soon;
    try {
      await this.waitFor(staging.mapAsync(1, 0, bytes));
      const mapped = new Uint8Array(staging.getMappedRange(0, bytes));
      new Uint8Array(values.buffer).set(mapped.subarray(start - from, start - from + values.byteLength));
      staging.unmap();
    } catch (error) {
      staging.destroy();
      throw error;
    }
    this.#staging.give(staging);
    return values;
  }

  /** Waits until everything that was queued is done. */
  async finish(): Promise<void> {
    this.checkAlive();
    this.flush();
    await this.waitFor(this.gpu.queue.onSubmittedWorkDone());
  }

  async throttle(steps = 2): Promise<void> {
    this.checkAlive();
    this.flush();
    const mark = this.waitFor(this.gpu.queue.onSubmittedWorkDone());
    mark.catch(() => {}); // told by the call that waits for it
    this.#marks.push(mark);
    while (this.#marks.length > steps) await this.#marks.shift();
  }

  /** Waits for a promise of the device; what is wrong with the device by then is the error. */
  async waitFor<T>(promise: Promise<T>): Promise<T> {
    try {
      const value = await this.#waiting.wait(promise);
      this.checkAlive();
      return value;
    } catch (error) {
      if (!(error instanceof Error && refusals.has(error.name))) throw error;
      // The reason, a loss or an error of the device, may come a turn later than this.
      await new Promise((resolve) => setTimeout(resolve));
      this.checkAlive();
      throw new DeviceError("webgpu", `the device refused to go on (${error.message}). Open another one.`);
    }
  }

  run<A>(op: Op<A>, inputs: readonly View[], outputs: readonly View[], attrs: A): void {
    this.checkAlive();
    if (op.wgsl === undefined) throw internal(`${op.name} has no WGSL kernel`);
    try {
      const written = [...outputs, ...(op.mutates ?? []).map((i) => inputs[i])];
      // Counted for a profiler only.
      let flops = this.watcher === undefined ? 0 : flopsOf(op, inputs, outputs, attrs);
      for (const kernel of op.wgsl(this.#apart(inputs, written), outputs, attrs, this.info)) {
        if (kernel.count === 0) continue;
        const dispatch = this.prepare(op.name, kernel, flops);
        flops = 0;
        this.#commands.record(dispatch, this.bindGroup(dispatch));
      }
    } finally {
      for (const storage of this.#scratch) this.#pool.give(storage.buffer);
      this.#scratch = [];
    }
  }

  /**
   * The pipeline, params and grid of a kernel.
   * @param flops - of the whole op, on its first kernel; for profiles
   */
  prepare(op: string, kernel: Kernel, flops = 0): Dispatch {
    const dispatch = new Dispatch(op, kernel, this.#pipelines.get(op, kernel), flops);
    if (dispatch.words.byteLength > SLOT)
      throw internal(`${op} has ${dispatch.words.length} params, at most ${SLOT / 4} fit`);
    return dispatch;
  }

  /** Group 0 of a dispatch: the whole buffers of its kernel's bindings, or of other storages in their order. */
  bindGroup(
    { kernel, layout, windows, parts }: Dispatch,
    storages: readonly Storage[] = kernel.bindings.map(({ view }) => view.storage),
  ): GPUBindGroup {
    this.counters.bindGroupsCreated++;
    return this.gpu.createBindGroup({
      layout,
      entries: rangesOf(kernel, windows).map((range, binding) => {
        const buffer = bufferOf(storages[range.binding]);
        const part = parts?.[range.binding];
        const resource =
          part === undefined ? rangeIn(buffer, range, windows, this.#limits) : { buffer, ...part };
        return { binding, resource };
      }),
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
    return this.#commands.pass(dispatch);
  }

  /** To be called after each dispatch that was recorded; submits where enough is. */
  countDispatch(): void {
    this.#commands.count();
  }

  /**
   * Makes the pipelines of kernels in parallel and runs each new one once on nothing, since drivers compile as late as at a
   * pipeline's first dispatch.
   */
  async warm(list: readonly Lowered[]): Promise<void> {
    this.checkAlive();
    await this.waitFor(warmUp(this, this.#pipelines, list as readonly LoweredKernel[])); // as `lower` made them
  }

  copy(from: View, to: View): void {
    const per = bytesPer(from.dtype);
    const [start, end] = [from, to].map(({ storage, offset }) => storage.start + offset * per);
    const bytes = sizeOf(from.shape) * per;
    if (bytes === 0) return;
    if (
      [start, end].some((at) => at % 4 !== 0) ||
      (bytes % 4 !== 0 && to.storage.bytes < to.offset * per + bytes + 2)
    ) {
      this.run(copyOp, [to, from], [], null);
      return;
    }
    this.checkAlive();
    const [source, target] = [bufferOf(from.storage), bufferOf(to.storage)];
    this.#commands.encoder().copyBufferToBuffer(source, start, target, end, Math.ceil(bytes / 4) * 4);
  }

  footprint(dtype: DType, size: number): number {
    return bucket(size * bytesPer(dtype));
  }

  bufferClass(): string {
    return "any";
  }

  lower({ op, inputs, outputs, attrs }: Run, scratch: GpuInfo["scratch"]): readonly LoweredKernel[] {
    if (op.wgsl === undefined) throw internal(`${op.name} has no WGSL kernel`);
    const flops = flopsOf(op, inputs, outputs, attrs);
    return op
      .wgsl(inputs, outputs, attrs, { ...this.info, scratch })
      .filter(({ count }) => count > 0)
      .map((kernel, i) => new LoweredKernel(op.name, kernel, i === 0 ? flops : 0));
  }

  replayer(list: readonly Lowered[], real: (storage: Storage) => Storage): Replayer {
    return gpuReplayer(this, list as readonly LoweredKernel[], real); // as `lower` made them
  }

  /** Submits what is recorded. */
  flush(): void {
    this.#commands.flush();
  }

  free(storage: Storage): void {
    const { home, buffer } = gpuStorage(storage);
    if (home === undefined) this.#pool.give(buffer);
    else home.release();
  }

  join(storages: readonly Storage[]): Storage | undefined {
    const parts = [...new Set(storages)].map(gpuStorage);
    const homes = new Set(parts.map(({ home }) => home));
    const [common] = homes;
    if (homes.size === 1 && common !== undefined) return common;
    for (const home of homes)
      if (home !== undefined && home.users > parts.filter((part) => part.home === home).length)
        return undefined;
    const starts: number[] = [];
    let bytes = 0;
    for (const part of parts) {
      starts.push(bytes);
      bytes += Math.ceil(part.bytes / PART) * PART;
    }
    const { maxStorageBufferBindingSize } = this.gpu.limits;
    if (bytes > Math.min(MOST_JOINED, maxStorageBufferBindingSize)) return undefined;
    const joined = this.#room(bytes);
    if (joined === undefined) return undefined;
    parts.forEach((part, i) => {
      const size = Math.ceil(part.bytes / 4) * 4;
      if (size > 0)
        this.#commands.encoder().copyBufferToBuffer(part.buffer, part.start, joined.buffer, starts[i], size);
      const { buffer, home: before } = part;
      part.move(joined, starts[i]);
      if (before === undefined) this.#pool.give(buffer);
      else before.release();
    });
    joined.release(); // its parts hold it
    this.relocations++;
    return joined;
  }

  /** Memory for what could also do without. */
  #room(bytes: number): GpuStorage | undefined {
    try {
      return this.#take("u32", bytes / 4);
    } catch (error) {
      if (error instanceof OutOfMemoryError) return undefined;
      throw error;
    }
  }

  /** The views that a kernel may read while it writes `written`: those in a shared buffer of what is written are copied first. */
  #apart(views: readonly View[], written: readonly View[]): readonly View[] {
    const targets = new Set(written.map(({ storage }) => bufferOf(storage)));
    return views.map((view) => {
      if (gpuStorage(view.storage).home === undefined || !targets.has(bufferOf(view.storage))) return view;
      if (written.some((target) => target === view)) return view;
      const copy = this.info.scratch(view.dtype, sizeOf(view.shape));
      this.copy(view, { ...copy, shape: view.shape });
      return { ...view, storage: copy.storage, offset: 0 };
    });
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
    if (this.loss !== undefined) return;
    this.flush();
    this.#pool.trim();
    this.#lose("it was closed");
    this.gpu.destroy();
  }

  /** Throws where the device was lost, or once for what went wrong since the last call. */
  checkAlive(): void {
    if (this.loss !== undefined) throw this.loss;
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      this.#failure = undefined;
      throw failure;
    }
  }

  #typed(error: GPUError): DeviceError {
    // By name: Node's binding has its own classes, which are no globals.
    if (error.constructor.name !== "GPUOutOfMemoryError") return new DeviceError("webgpu", error.message);
    const { liveBytes, liveBuffers, pooledBytes } = this.#pool;
    this.#pool.trim();
    return new OutOfMemoryError(
      "webgpu",
      `the device has no memory left: ${liveBytes} bytes in ${liveBuffers} buffers are in use, ${pooledBytes} waited to be used again and are free now (${error.message}). Use a smaller batch, a shorter sequence or fewer bits.`,
    );
  }
}

function padded(values: TypedArray): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(values.byteLength / 4) * 4);
  bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  return bytes;
}
