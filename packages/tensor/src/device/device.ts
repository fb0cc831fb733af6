import type { Run } from "../compile/trace.ts";
import type { DType, TypedArray } from "../dtype.ts";
import type { Op } from "../ops/op.ts";
import type { Shape } from "../shape.ts";
import type { Storage } from "./storage.ts";

/** Where a tensor's values lie: `shape` values of `dtype`, row-major, from element `offset` of `storage`. */
export interface View {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly storage: Storage;
  /** In elements of `dtype`. */
  readonly offset: number;
}

/** Bytes and buffers that a device holds. */
export interface MemoryInfo {
  /** Bytes of storages that are in use. */
  readonly liveBytes: number;
  readonly liveBuffers: number;
  /** Bytes of freed buffers that wait to be used again. */
  readonly pooledBytes: number;
  /** The largest `liveBytes` so far. */
  readonly peakBytes: number;
}

/** What a device has done since it was opened; tests assert differences of these, never times. */
export interface Counters {
  dispatches: number;
  submits: number;
  buffersCreated: number;
  bindGroupsCreated: number;
  pipelinesCreated: number;
  readBacks: number;
}

/** One unit of work of a compiled step: a dispatch, or an op on the CPU. */
export interface Lowered {
  /** Name of the op it belongs to. */
  readonly name: string;
  /** The storages that it reads or writes. */
  readonly storages: readonly Storage[];
}

/** A list of work, bound to storages. */
export interface Replayer {
  /** Queues all of it. */
  replay(): void;
  dispose(): void;
}

/**
 * A place where tensors live and ops run. Ops are queued or run at once, in order; only `read` is asynchronous.
 * The two kinds mean the same: "cpu" is the reference, "webgpu" the fast one.
 */
export interface Device {
  readonly kind: "cpu" | "webgpu";
  /** The adapter's or the machine's name, for people. */
  readonly name: string;
  readonly counters: Counters;

  /** A storage for `size` values of `dtype`. Its contents are unspecified. Throws OutOfMemoryError. */
  allocate(dtype: DType, size: number): Storage;
  /** Copies host values into a storage from its start; f16 and bf16 as bits. */
  upload(storage: Storage, values: TypedArray): void;
  /** The values of a view, in a new host array; f16 and bf16 as bits. */
  read(view: View): Promise<TypedArray>;
  /** Runs one op: writes `outputs` (and the inputs that the op declares as changed). */
  run<A>(op: Op<A>, inputs: readonly View[], outputs: readonly View[], attrs: A): void;
  /** Copies values on the device; both views have one dtype and size. */
  copy(from: View, to: View): void;
  /** Bytes that `allocate` really takes for so many values. */
  footprint(dtype: DType, size: number): number;
  /** Values of types of one class may use one storage in turn. */
  bufferClass(dtype: DType): string;
  /** What running an op takes, over storages that need not exist; `scratch` gives it storages for its own use. */
  lower(run: Run, scratch: (dtype: DType, size: number) => View): readonly Lowered[];
  /** Builds what a list of lowered work needs (pipelines), all at once. */
  warm(list: readonly Lowered[]): Promise<void>;
  /** Makes ready to do a list of lowered work again and again; `real` gives the storage behind each one that it names. */
  replayer(list: readonly Lowered[], real: (storage: Storage) => Storage): Replayer;
  /**
   * Moves storages side by side into one buffer, in this order, so that kernels can bind them as one; their tensors notice
   * nothing. Returns the storage of all of them, or undefined where the device has no use for it, they are too large for the
   * memory that is left, or another join would be taken apart, so that compiled steps do not move storages to and fro.
   */
  join(storages: readonly Storage[]): Storage | undefined;
  /** Rises when storages move: what was bound to them must be bound again. */
  readonly relocations: number;
  /** Called by a storage that nobody uses any more. */
  free(storage: Storage): void;
  /** Throws DTypeError where the device cannot hold the type. */
  checkDType(who: string, dtype: DType): void;
  /**
   * To be awaited once a step in a loop that reads nothing: waits while the device is more than `steps` steps behind (default 2), so that
   * it never idles and work does not pile up. Throws what went wrong meanwhile, DeviceLostError for example.
   */
  throttle(steps?: number): Promise<void>;
  memory(): MemoryInfo;
  /** Frees everything. Tensors of the device cannot be used afterwards. */
  close(): void;
}
