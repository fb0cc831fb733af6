import { tmpdir } from "node:os";
import { DeviceError } from "../../errors.ts";

/** The constants and error classes of WebGPU, which a page has as globals. */
export type GpuGlobals = Pick<
  typeof globalThis,
  | "GPUBufferUsage"
  | "GPUMapMode"
  | "GPUShaderStage"
  | "GPUError"
  | "GPUInternalError"
  | "GPUOutOfMemoryError"
  | "GPUValidationError"
>;

type Binding = { create(flags: string[]): GPU; globals: object };

// Dawn's binding ends the process with a segmentation fault when what create() returned is garbage-collected
// while an adapter or device of it lives. So every one is kept here until the process ends.
const instances = new Map<string, GPU>();

// Else Dawn rounds timestamps to 65 microseconds, as browsers must against spies; kernels are shorter than that.
const exactTimestamps = "disable-dawn-features=timestamp_quantization";

let binding: Promise<Binding> | undefined;

/**
 * Dawn's entry object for these flags, for example `["backend=vulkan"]`. The binding is loaded on the first call,
 * so importing the library costs nothing where no GPU is used. Equal `key` gives the same object.
 */
export async function openGpu(flags: readonly string[], key = flags.join(" ")): Promise<GPU> {
  const known = instances.get(key);
  if (known) return known;
  const { create } = await loadBinding();
  const opened = instances.get(key) ?? create([...flags, exactTimestamps]);
  instances.set(key, opened);
  return opened;
}

/** The globals of WebGPU in Node, taken from the binding instead of being written into `globalThis`. */
export async function gpuGlobals(): Promise<GpuGlobals> {
  const { globals } = await loadBinding();
  // The binding types its globals as `object`; they are the very names that @webgpu/types declares as globals.
  return globals as GpuGlobals;
}

function loadBinding(): Promise<Binding> {
  binding ??= importBinding();
  return binding;
}

async function importBinding(): Promise<Binding> {
  // Mesa prints a warning on every start when this is unset; it needs the folder for nothing that we use.
  if (process.platform === "linux") process.env.XDG_RUNTIME_DIR ??= tmpdir();
  try {
    return await import("webgpu");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DeviceError(
      "device",
      `the npm package "webgpu" could not be loaded on ${process.platform}-${process.arch} (${reason}). ` +
        'Install it with "npm install webgpu", or use the CPU device.',
    );
  }
}
