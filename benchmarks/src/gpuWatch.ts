import { gpuGlobals } from "@graft/tensor/node";

/** What the kernels of one run were, whichever library queued them. */
export interface GpuWork {
  readonly dispatches: number;
  /** Bytes of the different buffers that were bound: weights, states and everything in between. */
  readonly bytes: number;
}

// Of WebGPU's interfaces what is looked at; Dawn's prototypes hold more.
interface Buffer {
  readonly size: number;
}
type BindGroup = object;
interface Entry {
  readonly resource: Buffer | { readonly buffer: Buffer } | object;
}
interface Encoder {
  setBindGroup(index: number, group: BindGroup | null, ...rest: unknown[]): void;
  dispatchWorkgroups(...counts: number[]): void;
}
interface Maker {
  createBindGroup(descriptor: { readonly entries: Iterable<Entry> }): BindGroup;
}

/**
 * Counts dispatches and the buffers they touch by standing between every library and Dawn, so that all are counted
 * alike. Bind groups are known only if they are made while it watches: open it before the first run, and close it before
 * times are taken.
 */
export class GpuWatch implements Disposable {
  readonly #groups = new WeakMap<BindGroup, readonly Buffer[]>();
  readonly #restore: () => void;
  #bound = new Map<Encoder, Map<number, BindGroup>>();
  #touched = new Set<Buffer>();
  #dispatches = 0;

  private constructor(encoder: Encoder, device: Maker) {
    const { setBindGroup, dispatchWorkgroups } = encoder;
    const { createBindGroup } = device;
    const watch = this;
    device.createBindGroup = function (this: Maker, descriptor) {
      const group = createBindGroup.call(this, descriptor);
      watch.#groups.set(group, [...descriptor.entries].flatMap(bufferOf));
      return group;
    };
    encoder.setBindGroup = function (this: Encoder, index, group, ...rest) {
      setBindGroup.call(this, index, group, ...rest);
      watch.#bind(this, index, group);
    };
    encoder.dispatchWorkgroups = function (this: Encoder, ...counts) {
      dispatchWorkgroups.call(this, ...counts);
      watch.#dispatched(this);
    };
    this.#restore = () => {
      Object.assign(encoder, { setBindGroup, dispatchWorkgroups });
      Object.assign(device, { createBindGroup });
    };
  }

  static async open(): Promise<GpuWatch> {
    const globals = Object(await gpuGlobals()) as Record<
      "GPUComputePassEncoder" | "GPUDevice",
      { prototype: unknown }
    >;
    // Dawn's binding has the classes that a page has as globals.
    return new GpuWatch(
      globals.GPUComputePassEncoder.prototype as Encoder,
      globals.GPUDevice.prototype as Maker,
    );
  }

  /** What has run since the last call. */
  take(): GpuWork {
    let bytes = 0;
    for (const buffer of this.#touched) bytes += buffer.size;
    const work = { dispatches: this.#dispatches, bytes };
    this.#touched = new Set();
    this.#bound = new Map();
    this.#dispatches = 0;
    return work;
  }

  /** Takes the counting out again. */
  [Symbol.dispose](): void {
    this.#restore();
  }

  #bind(encoder: Encoder, index: number, group: BindGroup | null): void {
    const groups = this.#bound.get(encoder) ?? new Map<number, BindGroup>();
    if (group === null) groups.delete(index);
    else groups.set(index, group);
    this.#bound.set(encoder, groups);
  }

  #dispatched(encoder: Encoder): void {
    this.#dispatches++;
    for (const group of this.#bound.get(encoder)?.values() ?? [])
      for (const buffer of this.#groups.get(group) ?? []) this.#touched.add(buffer);
  }
}

function bufferOf({ resource }: Entry): Buffer[] {
  if ("buffer" in resource) return [resource.buffer];
  return "size" in resource ? [resource] : [];
}
