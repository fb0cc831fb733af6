// Every kernel of every op, as it is generated for adapters of many kinds, on Dawn's own checks: its WGSL compiler's messages and the
// default limits of WebGPU, which pipelines must keep (8 storage buffers, 16 KiB of workgroup memory, 256 invocations).
import { fromArray, grad, openScope, type Tensor } from "@graft/tensor";
import { valuesOf } from "@graft/tensor/testing";
import { expect, test } from "vitest";
import { CpuDevice } from "../../src/device/cpu/cpuDevice.ts";
import type { View } from "../../src/device/device.ts";
import { modeOf } from "../../src/device/webgpu/dispatch.ts";
import type { GpuDevice } from "../../src/device/webgpu/gpuDevice.ts";
import { moduleText, paramWords } from "../../src/device/webgpu/shader.ts";
import type { GpuInfo, Kernel } from "../../src/ops/kernel.ts";
import type { Op } from "../../src/ops/op.ts";
import { sizeOf } from "../../src/shape.ts";
import { openNull } from "../../test-support/nullDevice.ts";
import { allCases } from "../ops/everyOp.ts";

type Adapter = Omit<GpuInfo, "scratch" | "constants">;

const adapters: Readonly<Record<string, Adapter>> = {
  "no feature": { subgroups: false, subgroupSize: 0, software: false, shaderF16: false },
  "software, no feature": { subgroups: false, subgroupSize: 0, software: true, shaderF16: false },
  SwiftShader: { subgroups: true, subgroupSize: 4, software: true, shaderF16: false },
  lavapipe: { subgroups: true, subgroupSize: 8, software: true, shaderF16: true },
  "a GPU of subgroups of 32": { subgroups: true, subgroupSize: 32, software: false, shaderF16: true },
  "a GPU of subgroups of 64": { subgroups: true, subgroupSize: 64, software: false, shaderF16: true },
  "a GPU of subgroups of any size": { subgroups: true, subgroupSize: 0, software: false, shaderF16: true },
};

interface Variant {
  readonly name: string;
  readonly kernel: Kernel;
}

/** The CPU device, which also collects the kernels that each adapter would be given, by their text with immediates. */
class CollectingDevice extends CpuDevice {
  readonly variants = new Map<string, Variant>();
  readonly ops = new Set<string>();

  override run<A>(op: Op<A>, inputs: readonly View[], outputs: readonly View[], attrs: A): void {
    super.run(op, inputs, outputs, attrs);
    if (op.wgsl === undefined || [...inputs, ...outputs].some(({ dtype }) => dtype === "f64")) return;
    this.ops.add(op.name);
    for (const [adapter, info] of Object.entries(adapters)) {
      for (const offset of [0, 1, 4]) {
        const shifted = inputs.map(({ shape, dtype, storage }) => ({ shape, dtype, storage, offset }));
        const scratch: GpuInfo["scratch"] = (dtype, size) => ({
          shape: [size],
          dtype,
          storage: this.allocate(dtype, size),
          offset: 0,
        });
        const constants: GpuInfo["constants"] = (table) => scratch("u32", table.length);
        for (const kernel of op.wgsl(shifted, outputs, attrs, { ...info, scratch, constants }))
          this.variants.set(moduleText(kernel, "immediate"), { name: `${op.name} for ${adapter}`, kernel });
      }
    }
  }
}

/** Runs every edge of every op and its gradient. */
async function collect(): Promise<CollectingDevice> {
  const device = new CollectingDevice({ kernels: "reference" });
  const cases = [...(await allCases()).values()].flat();
  for (const { edges } of cases) {
    for (const { inputs, call } of edges) {
      using _all = openScope();
      try {
        const tensors = inputs.map(({ shape, values, dtype = "f32", grad: wanted = dtype === "f32" }) =>
          fromArray(device, values, shape, { dtype, requiresGrad: wanted }),
        );
        const result = call(...tensors);
        const outputs: readonly Tensor[] = "isGraftTensor" in result ? [result] : result;
        const trained = tensors.filter(({ requiresGrad }) => requiresGrad);
        for (const output of outputs.filter(({ requiresGrad }) => requiresGrad)) {
          const gradient = fromArray(device, valuesOf("normal", 1, sizeOf(output.shape)), output.shape);
          grad(output, trained, { gradient, allowUnused: true, retainGraph: true });
        }
      } catch (error) {
        if (!(error instanceof Error && /no gradient|in place while recording/.test(error.message)))
          throw error;
      }
    }
  }
  return device;
}

/** What Dawn has to say of a kernel: the compiler's messages, and why no pipeline can be made. */
async function remarks(
  { gpu }: GpuDevice,
  { name, kernel }: Variant,
  immediates: boolean,
): Promise<string[]> {
  const mode = modeOf(kernel, immediates);
  gpu.pushErrorScope("validation");
  const module = gpu.createShaderModule({ code: moduleText(kernel, mode) });
  const entries = kernel.bindings.map(
    ({ access }, binding): GPUBindGroupLayoutEntry => ({
      binding,
      visibility: 4, // COMPUTE
      buffer: { type: access === "read" ? "read-only-storage" : "storage" },
    }),
  );
  const uniform: GPUBindGroupLayoutEntry = { binding: 0, visibility: 4, buffer: { type: "uniform" } };
  const group = gpu.createBindGroupLayout({ entries });
  gpu.createComputePipeline({
    layout: gpu.createPipelineLayout(
      mode === "immediate"
        ? { bindGroupLayouts: [group], immediateSize: 4 * paramWords(kernel) }
        : { bindGroupLayouts: [group, gpu.createBindGroupLayout({ entries: [uniform] })] },
    ),
    compute: { module },
  });
  const [{ messages }, error] = await Promise.all([module.getCompilationInfo(), gpu.popErrorScope()]);
  const found = messages.map(({ type, lineNum, message }) => `${type} in line ${lineNum}: ${message}`);
  if (error !== null) found.push(error.message);
  return found.map((remark) => `${name}, params as ${mode}: ${remark}\n${moduleText(kernel, mode)}`);
}

const nullDevice = await openNull({ limits: "default" });

test("no kernel of any op has a remark on any adapter, or needs more than the default limits", async () => {
  const device = await collect();
  const found: string[] = [];
  for (const variant of device.variants.values())
    for (const immediates of [true, false]) found.push(...(await remarks(nullDevice, variant, immediates)));
  expect(found).toEqual([]);
  expect(device.ops).toContain("matmul");
  expect(device.ops.size).toBeGreaterThan(60);
  expect(device.variants.size).toBeGreaterThan(300);
}, 120_000);

const kernelOf = (changes: Partial<Kernel>): Kernel => {
  const cpu = new CpuDevice();
  const view: View = { shape: [4], dtype: "f32", storage: cpu.allocate("f32", 4), offset: 0 };
  return {
    key: "",
    over: "group",
    count: 1,
    bindings: [{ name: "x", view, access: "update" }],
    main: () => "x_put(lane, 1);",
    ...changes,
  };
};

test.each<[string, Partial<Kernel>, RegExp]>([
  ["a wrong type", { main: () => "x_put(lane, 1i);" }, /error in line \d+: .*i32/s],
  ["a barrier that not all reach", { main: () => "if (lane < 3u) { workgroupBarrier(); }" }, /uniform/],
  [
    "more workgroup memory than the default",
    {
      declare: () => "var<workgroup> w: array<f32, 4097>;",
      main: () => "w[lane] = 1; x_put(lane, w[lane]);",
    },
    /workgroup/i,
  ],
  ["more invocations than the default", { lanes: 257 }, /257/],
])("%s is seen", async (_, changes, words) => {
  const found = await remarks(nullDevice, { name: "control", kernel: kernelOf(changes) }, true);
  expect(found.join()).toMatch(words);
});

test("more storage buffers than the default are seen", async () => {
  const [binding] = kernelOf({}).bindings;
  const bindings = Array.from({ length: 9 }, (_, i) => ({ ...binding, name: `x${i}` }));
  const main = () => bindings.map(({ name }) => `${name}_put(lane, 1);`).join(" ");
  const found = await remarks(nullDevice, { name: "control", kernel: kernelOf({ bindings, main }) }, true);
  expect(found.join()).toMatch(/storage buffers? \(9\)|maxStorageBuffersPerShaderStage/i);
});
