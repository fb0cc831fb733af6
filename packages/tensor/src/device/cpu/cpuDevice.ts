import type { Run } from "../../compile/trace.ts";
import { bytesPer, type DType, isHalf, type TypedArray } from "../../dtype.ts";
import { DeviceError, internal, OutOfMemoryError } from "../../errors.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../../formats/half.ts";
import type { CpuArray, Op } from "../../ops/op.ts";
import { show, sizeOf } from "../../shape.ts";
import type { Counters, Device, Lowered, MemoryInfo, Replayer, View } from "../device.ts";
import { Storage } from "../storage.ts";
import { ArrayPool } from "./arrayPool.ts";
import { cpuReplayer, LoweredRun } from "./replay.ts";

export interface CpuOptions {
  /**
   * "reference": plain loops that sum in float64, the oracle of every kernel. "fast" (default): WebAssembly SIMD with f32
   * sums where an op has it, the reference elsewhere.
   */
  kernels?: "fast" | "reference";
  /** Bytes that tensors may take. Default: no limit. */
  maxBytes?: number;
}

class CpuStorage extends Storage {
  values: TypedArray | undefined;
  readonly dtype: DType;

  constructor(device: Device, dtype: DType, values: TypedArray) {
    super(device, values.byteLength);
    this.values = values;
    this.dtype = dtype;
  }
}

/** The device that works everywhere: f32 and f64 storage, every op, no dependency. */
export class CpuDevice implements Device {
  readonly kind = "cpu";
  readonly name: string;
  readonly counters: Counters = {
    dispatches: 0,
    submits: 0,
    buffersCreated: 0,
    bindGroupsCreated: 0,
    pipelinesCreated: 0,
    readBacks: 0,
  };
  readonly relocations = 0;
  readonly #fast: boolean;
  readonly #maxBytes: number;
  readonly #pool = new ArrayPool();
  #live = 0;
  #buffers = 0;
  #peak = 0;
  #closed = false;

  constructor(options: CpuOptions = {}) {
    this.#fast = options.kernels !== "reference";
    this.#maxBytes = options.maxBytes ?? Number.POSITIVE_INFINITY;
    this.name = this.#fast ? "CPU" : "CPU (reference kernels)";
  }

  allocate(dtype: DType, size: number): Storage {
    if (this.#closed) throw new DeviceError("cpu", "the device was closed. Open another one.");
    const wanted = size * bytesPer(dtype);
    if (this.#live + wanted > this.#maxBytes) {
      throw new OutOfMemoryError(
        "cpu",
        `${wanted} bytes do not fit: ${this.#live} of ${this.#maxBytes} are in use. Use a smaller batch or a shorter sequence.`,
      );
    }
    const values = this.#pool.take(dtype, size);
    this.#live += wanted;
    this.#buffers++;
    this.#peak = Math.max(this.#peak, this.#live);
    // What is live and what is pooled together stay within the most that was ever live.
    this.#pool.shrink(this.#peak - this.#live);
    this.counters.buffersCreated++;
    return new CpuStorage(this, dtype, values);
  }

  upload(storage: Storage, values: TypedArray): void {
    valuesOf(storage).set(values);
  }

  async read(view: View): Promise<TypedArray> {
    this.counters.readBacks++;
    const start = view.offset;
    return valuesOf(view.storage).slice(start, start + sizeOf(view.shape));
  }

  run<A>(op: Op<A>, inputs: readonly View[], outputs: readonly View[], attrs: A): void {
    if (op.cpu === undefined) throw internal(`${op.name} has no CPU kernel`);
    this.counters.dispatches++;
    const raw = op.raw === true;
    const outs = outputs.map((view) => arrayFor(view, raw, false));
    op.cpu(
      inputs.map((view) => arrayFor(view, raw, true)),
      outs,
      attrs,
      { fast: this.#fast },
    );
    if (raw) return;
    outputs.forEach((view, i) => {
      const { data } = outs[i];
      if (view.dtype === "f16" && data instanceof Float32Array) f32ToF16(data, bitsOf(view));
      if (view.dtype === "bf16" && data instanceof Float32Array) f32ToBf16(data, bitsOf(view));
    });
  }

  copy(from: View, to: View): void {
    valuesIn(to).set(valuesIn(from));
  }

  footprint(dtype: DType, size: number): number {
    return size * bytesPer(dtype);
  }

  bufferClass(dtype: DType): string {
    return dtype;
  }

  lower(run: Run): readonly LoweredRun[] {
    return [new LoweredRun(run)];
  }

  async warm(): Promise<void> {}

  join(): undefined {
    return undefined;
  }

  async throttle(): Promise<void> {}

  replayer(list: readonly Lowered[], real: (storage: Storage) => Storage): Replayer {
    return cpuReplayer(this, list as readonly LoweredRun[], real); // as `lower` made them
  }

  free(storage: Storage): void {
    if (!(storage instanceof CpuStorage))
      throw internal("a storage of another device was freed on the CPU device");
    if (storage.values !== undefined && !this.#closed) this.#pool.give(storage.dtype, storage.values);
    storage.values = undefined;
    this.#live -= storage.bytes;
    this.#buffers--;
  }

  checkDType(): void {}

  memory(): MemoryInfo {
    return {
      liveBytes: this.#live,
      liveBuffers: this.#buffers,
      pooledBytes: this.#pool.bytes,
      peakBytes: this.#peak,
    };
  }

  close(): void {
    this.#closed = true;
    this.#pool.shrink(0);
  }
}

/** Opens the CPU device. */
export function openCpu(options: CpuOptions = {}): CpuDevice {
  return new CpuDevice(options);
}

function valuesOf(storage: Storage): TypedArray {
  if (!(storage instanceof CpuStorage) || storage.values === undefined)
    throw internal("a tensor's storage is not on the CPU device or was freed");
  return storage.values;
}

function valuesIn(view: View): TypedArray {
  const values = valuesOf(view.storage);
  const size = sizeOf(view.shape);
  if (view.offset + size > values.length)
    throw internal(`a view ${show(view.shape)} ends beyond its storage`);
  return view.offset === 0 && size === values.length
    ? values
    : values.subarray(view.offset, view.offset + size);
}

function bitsOf(view: View): Uint16Array {
  const values = valuesIn(view);
  if (!(values instanceof Uint16Array)) throw internal(`${view.dtype} values are not stored as bits`);
  return values;
}

function arrayFor(view: View, raw: boolean, isInput: boolean): CpuArray {
  const { shape, dtype } = view;
  if (raw || !isHalf(dtype)) return { data: valuesIn(view), shape, dtype };
  if (!isInput) return { data: new Float32Array(sizeOf(shape)), shape, dtype };
  return { data: dtype === "f16" ? f16ToF32(bitsOf(view)) : bf16ToF32(bitsOf(view)), shape, dtype };
}
