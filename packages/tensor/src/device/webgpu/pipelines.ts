import type { Kernel } from "../../ops/kernel.ts";
import type { Counters } from "../device.ts";
import { moduleText, pipelineKey } from "./shader.ts";

interface Entry {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Pipelines by what changes their code; layouts by the access pattern of their bindings. */
export class PipelineCache {
  readonly #gpu: GPUDevice;
  readonly #counters: Counters;
  readonly #pipelines = new Map<string, Entry>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();

  constructor(gpu: GPUDevice, counters: Counters) {
    this.#gpu = gpu;
    this.#counters = counters;
  }

  get(op: string, kernel: Kernel): Entry {
    const key = pipelineKey(op, kernel);
    const known = this.#pipelines.get(key);
    if (known !== undefined) return known;
    const layout = this.#layoutOf(kernel);
    const module = this.#gpu.createShaderModule({ label: op, code: moduleText(kernel) });
    const pipeline = this.#gpu.createComputePipeline({
      label: op,
      layout: this.#gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: "main" },
    });
    this.#counters.pipelinesCreated++;
    const entry = { pipeline, layout };
    this.#pipelines.set(key, entry);
    return entry;
  }

  #layoutOf(kernel: Kernel): GPUBindGroupLayout {
    const pattern = kernel.bindings.map(({ access }) => (access === "read" ? "r" : "w")).join("");
    const known = this.#layouts.get(pattern);
    if (known !== undefined) return known;
    const visibility = 4; // COMPUTE
    const entries: GPUBindGroupLayoutEntry[] = [...pattern].map((access, binding) => ({
      binding,
      visibility,
      buffer: { type: access === "r" ? "read-only-storage" : "storage" },
    }));
    entries.push({
      binding: pattern.length,
      visibility,
      buffer: { type: "uniform", hasDynamicOffset: true },
    });
    const layout = this.#gpu.createBindGroupLayout({ entries });
    this.#layouts.set(pattern, layout);
    return layout;
  }
}
