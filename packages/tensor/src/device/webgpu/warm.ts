import { SLOT } from "./dispatch.ts";
import type { GpuDevice } from "./gpuDevice.ts";
import type { PipelineCache } from "./pipelines.ts";
import type { LoweredKernel } from "./replay.ts";
import { paramWords } from "./shader.ts";
import { ALIGNMENT, rangesOf } from "./windows.ts";

/**
 * Makes the pipelines of the kernels of `list` in parallel, then runs each new one as a single workgroup with all params 0, in one submit.
 * A count of 0 lets every kernel return at once, but the driver has compiled it by then (Mesa's software Vulkan
 * compiles at the first dispatch: tens of milliseconds a kernel).
 */
export async function warmUp(
  { gpu }: GpuDevice,
  pipelines: PipelineCache,
  list: readonly LoweredKernel[],
): Promise<void> {
  const made = await Promise.all(
    list.map(async ({ name, kernel }) =>
      (await pipelines.make(name, kernel)) ? { kernel, ...pipelines.get(name, kernel) } : undefined,
    ),
  );
  const fresh = made.filter((entry) => entry !== undefined);
  if (fresh.length === 0) return;
  const most = Math.max(...fresh.map(({ kernel, windows }) => rangesOf(kernel, windows).length));
  // One buffer cannot be read and written by one dispatch. STORAGE; UNIFORM
  const read = gpu.createBuffer({ size: ALIGNMENT, usage: 0x80 });
  const written = gpu.createBuffer({ size: ALIGNMENT * most, usage: 0x80 });
  const slot = gpu.createBuffer({ size: SLOT, usage: 0x40 });
  const slotGroup = gpu.createBindGroup({
    layout: pipelines.uniformLayout,
    entries: [{ binding: 0, resource: { buffer: slot } }],
  });
  const encoder = gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const entry of fresh) {
    const group = gpu.createBindGroup({
      layout: entry.layout,
      entries: rangesOf(entry.kernel, entry.windows).map(({ binding }, at) => ({
        binding: at,
        resource:
          entry.kernel.bindings[binding].access === "read"
            ? { buffer: read }
            : { buffer: written, offset: ALIGNMENT * at, size: ALIGNMENT },
      })),
    });
    pass.setPipeline(entry.pipeline);
    pass.setBindGroup(0, group);
    if (entry.mode === "uniform") pass.setBindGroup(1, slotGroup, [0]);
    else pass.setImmediates(0, new Uint32Array(paramWords(entry.kernel)));
    pass.dispatchWorkgroups(1);
  }
  pass.end();
  gpu.queue.submit([encoder.finish()]);
  try {
    await gpu.queue.onSubmittedWorkDone();
  } finally {
    for (const buffer of [read, written, slot]) buffer.destroy();
  }
}
