import { afterEach, expect, test } from "vitest";
import { findAdapter, gpuGlobals, searchAdapters } from "../../src/device/node/index.ts";

const variable = process.env.GRAFT_ADAPTER;

afterEach(() => {
  if (variable === undefined) delete process.env.GRAFT_ADAPTER;
  else process.env.GRAFT_ADAPTER = variable;
});

test("an adapter is found on this machine, and it computes", async () => {
  const { adapter, name } = await findAdapter({ allowSoftware: true });
  expect(name).not.toBe("");
  expect(await double(adapter, [1, 2, 3.5])).toEqual([2, 4, 7]);
});

test("GRAFT_ADAPTER=swiftshader finds SwiftShader beside any other driver", async () => {
  process.env.GRAFT_ADAPTER = "swiftshader";
  const before = process.env.VK_ICD_FILENAMES;
  const { adapter, name, kind } = await findAdapter({ allowSoftware: false });
  expect(name).toMatch(/SwiftShader/);
  expect(kind).toBe("software");
  expect(process.env.VK_ICD_FILENAMES).toBe(before);
  expect(await double(adapter, [1, -2])).toEqual([2, -4]);
});

test("GRAFT_ADAPTER=null finds the backend that computes nothing", async () => {
  process.env.GRAFT_ADAPTER = "null";
  const { name, kind } = await findAdapter({ allowSoftware: false });
  expect([name, kind]).toEqual(["null-backend", "software"]);
});

test("software alone can be asked for, whatever else there is", async () => {
  delete process.env.GRAFT_ADAPTER;
  const { adapter, kind } = await findAdapter({ allowSoftware: "only" });
  expect(kind).toBe("software");
  expect(await double(adapter, [21])).toEqual([42]);
});

test("an unknown GRAFT_ADAPTER is refused with the names that are known", async () => {
  process.env.GRAFT_ADAPTER = "metal";
  await expect(findAdapter({ allowSoftware: true })).rejects.toThrow(
    'device: GRAFT_ADAPTER must be one of swiftshader, vulkan, null, got "metal".',
  );
});

test("a search that may take nothing says what it refused and why", async () => {
  delete process.env.GRAFT_ADAPTER;
  const search = await searchAdapters({ allowSoftware: false });
  if (search.found) {
    expect(search.found).toMatchObject({ kind: "gpu", why: "it is a GPU" });
    return;
  }
  expect(search.refused).toHaveLength(1);
  await expect(findAdapter({ allowSoftware: false })).rejects.toThrow(
    /^device: no WebGPU adapter was found\. .+: .+\. Install the driver of the GPU, or use device "cpu"\.$/,
  );
});

async function double(adapter: GPUAdapter, values: number[]): Promise<number[]> {
  const { GPUBufferUsage, GPUMapMode } = await gpuGlobals();
  const device = await adapter.requestDevice();
  const size = values.length * 4;
  const data = device.createBuffer({
    size,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
  });
  const read = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  device.queue.writeBuffer(data, 0, new Float32Array(values));
  const code = `
    @group(0) @binding(0) var<storage, read_write> x: array<f32>;
    @compute @workgroup_size(1) fn main(@builtin(global_invocation_id) i: vec3u) { x[i.x] *= 2.0; }`;
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module: device.createShaderModule({ code }) },
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(
    0,
    device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [{ binding: 0, resource: { buffer: data } }],
    }),
  );
  pass.dispatchWorkgroups(values.length);
  pass.end();
  encoder.copyBufferToBuffer(data, 0, read, 0, size);
  device.queue.submit([encoder.finish()]);
  await read.mapAsync(GPUMapMode.READ);
  const result = [...new Float32Array(read.getMappedRange())];
  read.unmap();
  device.destroy();
  return result;
}
