import { DeviceError } from "../../errors.ts";
import { tileRecord } from "../../ops/matmul/record.ts";
import { GpuDevice, type GpuOptions } from "./gpuDevice.ts";

/** Features that Graft uses where the adapter has them; none is required. */
const useful = ["shader-f16", "subgroups", "timestamp-query"];

/**
 * Opens a device on an adapter that was found by other means (Node: `@graft/tensor/node`).
 * @param language - the parts of WGSL that the compiler knows, `gpu.wgslLanguageFeatures`
 */
export async function openOn(
  adapter: GPUAdapter,
  name: string,
  options: GpuOptions = {},
  language: ReadonlySet<string> = new Set(),
): Promise<GpuDevice> {
  const tiles = options.tiles === undefined ? undefined : tileRecord("openWebGpu", options.tiles, name);
  const features = (options.features ?? useful).filter((feature) => adapter.features.has(feature));
  const limits =
    options.limits === "default"
      ? {}
      : {
          maxStorageBufferBindingSize: adapter.limits.maxStorageBufferBindingSize,
          maxBufferSize: adapter.limits.maxBufferSize,
        };
  const device = await adapter.requestDevice({
    requiredFeatures: features as GPUFeatureName[],
    requiredLimits: limits,
  }); // names checked by `has`
  const immediates = options.immediates !== false && hasImmediates(device, language);
  return new GpuDevice(device, name, { ...options, immediates, tiles }, adapter.info);
}

/** Whether kernels can get their params with the dispatch instead of through a buffer. */
function hasImmediates(device: GPUDevice, language: ReadonlySet<string>): boolean {
  if (!language.has("immediate_address_space") || !(device.limits.maxImmediateSize >= 64)) return false;
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.end();
  return "setImmediates" in pass;
}

/** Opens the page's GPU. Throws DeviceError where the browser has no WebGPU or no adapter. */
export async function openWebGpu(options: GpuOptions = {}): Promise<GpuDevice> {
  const gpu = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu; // a page has it, other places may not
  if (gpu === undefined)
    throw new DeviceError(
      "openWebGpu",
      "this browser or page has no WebGPU. Serve the page from https or localhost, or use openCpu(); in Node import from @graft/tensor/node.",
    );
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter === null) throw new DeviceError("openWebGpu", "no WebGPU adapter was found. Use openCpu().");
  const { description, device, vendor, architecture } = adapter.info;
  return openOn(
    adapter,
    description || device || [vendor, architecture].filter(Boolean).join(" ") || "GPU",
    options,
    gpu.wgslLanguageFeatures,
  );
}
