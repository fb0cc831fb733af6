import type { FlushPolicy } from "../webgpu/commands.ts";
import type { GpuDevice, GpuOptions } from "../webgpu/gpuDevice.ts";
import { openOn } from "../webgpu/open.ts";
import { type AdapterOptions, type FoundAdapter, findAdapter } from "./adapters.ts";
import { settle } from "./settle.ts";

const flush: FlushPolicy = { dispatches: 128, bytes: 2 ** 28 };

export type NodeGpuOptions = Partial<AdapterOptions> & Omit<GpuOptions, "settle">;

/**
 * Opens a GPU device in Node through Dawn. By default software adapters are taken where there is no GPU; ask for
 * `allowSoftware: false` to get a DeviceError instead, and use `openCpu()`, which is faster than they are.
 */
export async function openWebGpu(options: NodeGpuOptions = {}): Promise<GpuDevice> {
  const found = await findAdapter({
    allowSoftware: options.allowSoftware ?? true,
    swiftShader: options.swiftShader,
  });
  return openFound(found, options);
}

/** Opens a device on an adapter that `findAdapter` returned. */
export async function openFound(
  found: FoundAdapter,
  options: Omit<GpuOptions, "settle"> = {},
): Promise<GpuDevice> {
  return openOn(found.adapter, found.name, { flush, ...options, settle }, found.language);
}
