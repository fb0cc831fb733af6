import {
  add,
  compile,
  exp,
  fromArray,
  type GpuDevice,
  mul,
  neg,
  noGrad,
  openScope,
  scope,
  type Tensor,
} from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { type Case, quantile, type Suite } from "../harness.ts";

/** Dispatches of a run, so that a run's milliseconds are microseconds for each. */
const DISPATCHES = 1000;

/**
 * What JavaScript and Dawn take for a dispatch, on Dawn's backend that checks everything and computes nothing: by calls of WebGPU alone, which
 * is the floor, replayed with params as immediates and through a uniform buffer, and as an eager op without and with a record for backward.
 */
export const dispatchSuite: Suite = {
  name: "dispatch",
  async cases() {
    const device = await openNull({});
    const uniform = await openNull({ immediates: false });
    return [
      raw("WebGPU alone, immediates", device),
      replayed("replayed, immediates", device),
      replayed("replayed, uniform buffer", uniform),
      eager("eager", device, false),
      eager("eager with tape", device, true),
    ];
  },
};

async function openNull(options: { immediates?: boolean }): Promise<GpuDevice> {
  const before = process.env.GRAFT_ADAPTER;
  process.env.GRAFT_ADAPTER = "null";
  try {
    return await openWebGpu(options);
  } finally {
    if (before === undefined) delete process.env.GRAFT_ADAPTER;
    else process.env.GRAFT_ADAPTER = before;
  }
}

/** Four pipelines in turn, two to three bindings each. */
function chain(x: Tensor, y: Tensor): Tensor {
  let z = x;
  for (let i = 0; i < DISPATCHES; i += 4) z = neg(exp(mul(add(z, y), y)));
  return z;
}

function inputs(device: GpuDevice, requiresGrad: boolean): [Tensor, Tensor] {
  const values = new Float32Array(64).fill(1);
  return [fromArray(device, values, [64], { requiresGrad }), fromArray(device, values, [64])];
}

/** Also tells the time of the processor, which a busy machine does not stretch. */
function named(name: string, device: GpuDevice, run: () => void): Case {
  const cpu: number[] = [];
  return {
    name: `${name}, ${DISPATCHES} (ms: µs each)`,
    device,
    run() {
      const before = process.cpuUsage();
      run();
      const { user, system } = process.cpuUsage(before);
      cpu.push((user + system) / DISPATCHES);
    },
    note: () => `${quantile(cpu, 0.5).toFixed(1)} µs of processor each`,
  };
}

/** Pipeline, bind group, immediates and dispatch for each, four pipelines and groups in turn, in one pass and one submit. */
function raw(name: string, device: GpuDevice): Case {
  const { gpu } = device;
  const buffers = Array.from({ length: 4 }, () => gpu.createBuffer({ size: 256, usage: 0x80 })); // STORAGE
  const layout = gpu.createBindGroupLayout({
    entries: [0, 1].map((binding) => ({
      binding,
      visibility: 4, // COMPUTE
      buffer: { type: binding === 0 ? "read-only-storage" : "storage" },
    })),
  });
  const groups = buffers.map((buffer, i) =>
    gpu.createBindGroup({
      layout,
      entries: [buffer, buffers[(i + 1) % 4]].map((bound, binding) => ({
        binding,
        resource: { buffer: bound },
      })),
    }),
  );
  const pipelines = groups.map((_, i) =>
    gpu.createComputePipeline({
      layout: gpu.createPipelineLayout({ bindGroupLayouts: [layout], immediateSize: 12 }),
      compute: {
        module: gpu.createShaderModule({
          code: `requires immediate_address_space;
struct Params { a: u32, b: u32, c: u32 }
var<immediate> P: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) i: vec3u) { if (i.x < P.a) { y[i.x] = x[i.x] + ${i}f; } }`,
        }),
      },
    }),
  );
  const words = new Uint32Array(3);
  return named(name, device, () => {
    const encoder = gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let i = 0; i < DISPATCHES; i++) {
      pass.setPipeline(pipelines[i % 4]);
      pass.setBindGroup(0, groups[i % 4]);
      pass.setImmediates(0, words);
      pass.dispatchWorkgroups(1);
    }
    pass.end();
    gpu.queue.submit([encoder.finish()]);
  });
}

function replayed(name: string, device: GpuDevice): Case {
  const [x, y] = inputs(device, false);
  const step = compile((a: Tensor, b: Tensor) => noGrad(() => chain(a, b)), { fuse: false });
  return named(name, device, () => {
    scope(() => void step(x, y));
  });
}

function eager(name: string, device: GpuDevice, requiresGrad: boolean): Case {
  const [x, y] = inputs(device, requiresGrad);
  return named(name, device, () => {
    using _all = openScope();
    chain(x, y);
  });
}
