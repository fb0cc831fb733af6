// Runs in a page: doubles numbers with the page's own WebGPU, without any of our code.
declare const navigator: { readonly gpu?: GPU };

export default async function double(values: readonly number[]) {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) throw new Error("No available adapter");
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
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ binding: 0, resource: { buffer: data } }],
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(values.length);
  pass.end();
  encoder.copyBufferToBuffer(data, 0, read, 0, size);
  device.queue.submit([encoder.finish()]);
  await read.mapAsync(GPUMapMode.READ);
  const doubled = [...new Float32Array(read.getMappedRange())];
  const { vendor, architecture } = adapter.info;
  return { doubled, vendor, architecture, isolated: Reflect.get(globalThis, "crossOriginIsolated") };
}
