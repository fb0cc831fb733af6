import { internal } from "../../errors.ts";
import type { Device } from "../device.ts";
import { Storage } from "../storage.ts";

/** Values in a GPU buffer: a buffer of their own, or a part of one that `GpuDevice.join` made. */
export class GpuStorage extends Storage {
  buffer: GPUBuffer;
  declare home: GpuStorage | undefined;

  constructor(device: Device, buffer: GPUBuffer, bytes: number) {
    super(device, bytes);
    this.buffer = buffer;
  }

  /** Goes to live in `home`, from byte `start` on. */
  move(home: GpuStorage, start: number): void {
    this.home = home.retain();
    this.buffer = home.buffer;
    this.start = start;
  }
}

export function gpuStorage(storage: Storage): GpuStorage {
  if (!(storage instanceof GpuStorage))
    throw internal("a storage of another device came to the webgpu device");
  return storage;
}

/** The buffer behind a storage of a GpuDevice. */
export const bufferOf = (storage: Storage): GPUBuffer => gpuStorage(storage).buffer;
