import { type CpuDevice, openCpu } from "../device/cpu/cpuDevice.ts";
import type { Device } from "../device/device.ts";
import type { GpuDevice } from "../device/webgpu/gpuDevice.ts";

export interface TestDevices {
  /** Plain loops that sum in float64: the oracle. */
  readonly reference: CpuDevice;
  /** The CPU device as users get it. */
  readonly cpu: CpuDevice;
  /** Dawn on whatever adapter there is, also a software one. */
  readonly gpu: GpuDevice;
  readonly all: readonly Device[];
  /** The text of every WGSL module that the GPU device made so far, with the op's name. */
  readonly shaders: ReadonlyMap<string, string>;
}

// On globalThis: a worker runs many test files, and opening a device and building its pipelines takes longer than most tests.
const shared = globalThis as { graftTestDevices?: Promise<TestDevices> };

/** The devices that every kernel is tested on, opened once in a process. Fails where there is no adapter. */
export function testDevices(): Promise<TestDevices> {
  shared.graftTestDevices ??= open();
  return shared.graftTestDevices;
}

async function open(): Promise<TestDevices> {
  const { openWebGpu } = await import("../device/node/index.ts");
  const reference = openCpu({ kernels: "reference" });
  const cpu = openCpu();
  const gpu = await openWebGpu();
  return { reference, cpu, gpu, all: [reference, cpu, gpu], shaders: shadersOf(gpu.gpu) };
}

function shadersOf(gpu: GPUDevice): Map<string, string> {
  const shaders = new Map<string, string>();
  const create = gpu.createShaderModule.bind(gpu);
  gpu.createShaderModule = (descriptor) => {
    shaders.set(descriptor.code, descriptor.label ?? "");
    return create(descriptor);
  };
  return shaders;
}
