import { CpuDevice } from "../device/cpu/cpuDevice.ts";
import type { Device } from "../device/device.ts";
import { GpuDevice } from "../device/webgpu/gpuDevice.ts";
import { DeviceError } from "../errors.ts";
import { type Watch, watchCpu } from "./cpu.ts";
import { watchGpu } from "./gpu.ts";

/** Begins to see all that a device does, until `stop`. */
export async function watchDevice(device: Device): Promise<Watch> {
  if (device instanceof GpuDevice) return watchGpu(device);
  if (device instanceof CpuDevice) return watchCpu(device);
  throw new DeviceError("profile", `the device must be a CPU or WebGPU device, got ${device.name}.`);
}
