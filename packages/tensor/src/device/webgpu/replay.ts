import type { Kernel } from "../../ops/kernel.ts";
import type { Lowered, Replayer } from "../device.ts";
import type { Storage } from "../storage.ts";
import { type Dispatch, SLOT } from "./dispatch.ts";
import type { GpuDevice } from "./gpuDevice.ts";

/** On a GPU a dispatch is the unit of work. */
export class LoweredKernel implements Lowered {
  readonly name: string;
  readonly kernel: Kernel;
  readonly storages: readonly Storage[];
  /** Of the op, on the first of its kernels. */
  readonly flops: number;

  constructor(name: string, kernel: Kernel, flops = 0) {
    this.name = name;
    this.kernel = kernel;
    this.flops = flops;
    this.storages = kernel.bindings.map(({ view }) => view.storage);
  }
}

interface Item {
  readonly dispatch: Dispatch;
  readonly group: GPUBindGroup;
  /** Byte offset of its params in the uniform buffer, where they are no immediates. */
  readonly slot: number | undefined;
}

/** A frozen list of dispatches: each replay sets pipeline, bind group and params and makes no object of its own. */
export function gpuReplayer(
  device: GpuDevice,
  list: readonly LoweredKernel[],
  real: (storage: Storage) => Storage,
): Replayer {
  let slots = 0;
  const items = list.map(({ name, kernel, storages, flops }): Item => {
    const dispatch = device.prepare(name, kernel, flops);
    const slot = dispatch.mode === "uniform" ? SLOT * slots++ : undefined;
    return { dispatch, group: device.bindGroup(dispatch, storages.map(real)), slot };
  });
  const params = slots === 0 ? undefined : new ParamBuffer(device, items, slots);
  const live = items.filter(({ dispatch }) => dispatch.live);
  return {
    replay() {
      device.checkAlive();
      for (const { dispatch } of live) dispatch.refresh();
      params?.write();
      let pass: GPUComputePassEncoder | undefined;
      let pipeline: GPUComputePipeline | undefined;
      for (const { dispatch, group, slot } of items) {
        const now = device.pass(dispatch);
        if (now !== pass) {
          pass = now;
          pipeline = undefined;
        }
        if (dispatch.pipeline !== pipeline) {
          pipeline = dispatch.pipeline;
          now.setPipeline(pipeline);
        }
        now.setBindGroup(0, group);
        if (slot === undefined || params === undefined) now.setImmediates(0, dispatch.words);
        else now.setBindGroup(1, params.group, [slot]);
        now.dispatchWorkgroups(dispatch.grid[0], dispatch.grid[1]);
        device.countDispatch();
      }
    },
    dispose() {
      params?.dispose();
    },
  };
}

/** The params that are no immediates, one slot for each dispatch that needs one. */
class ParamBuffer {
  readonly group: GPUBindGroup;
  readonly #device: GpuDevice;
  readonly #buffer: GPUBuffer;
  readonly #items: readonly Item[];
  readonly #words: Uint32Array<ArrayBuffer>;
  #isWritten = false;

  constructor(device: GpuDevice, items: readonly Item[], slots: number) {
    this.#device = device;
    this.#items = items.filter(({ slot }) => slot !== undefined);
    this.#words = new Uint32Array((slots * SLOT) / 4);
    // UNIFORM | COPY_DST
    this.#buffer = device.gpu.createBuffer({ size: slots * SLOT, usage: 0x40 | 0x08 });
    device.counters.buffersCreated++;
    this.group = device.slotGroup(this.#buffer);
  }

  /** Before each replay; does something where a param has changed. */
  write(): void {
    const changed = this.#isWritten ? this.#items.filter(({ dispatch }) => dispatch.live) : this.#items;
    if (changed.length === 0) return;
    for (const { dispatch, slot = 0 } of changed) this.#words.set(dispatch.words, slot / 4);
    // Work that was recorded and not submitted may still read the params of the replay before.
    this.#device.flush();
    this.#device.gpu.queue.writeBuffer(this.#buffer, 0, this.#words);
    this.#isWritten = true;
  }

  dispose(): void {
    this.#device.flush(); // the last replay may not be submitted yet
    this.#buffer.destroy();
  }
}
