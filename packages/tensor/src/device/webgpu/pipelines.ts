import type { Kernel } from "../../ops/kernel.ts";
import type { Counters } from "../device.ts";
import { modeOf, type ParamMode } from "./dispatch.ts";
import { moduleText, paramWords, pipelineKey } from "./shader.ts";
import { type BindingLimits, rangesOf, type Windows, windowsOf } from "./windows.ts";

/** A pipeline with what is needed to bind to it. */
export interface Prepared {
  readonly pipeline: GPUComputePipeline;
  /** Of group 0. */
  readonly layout: GPUBindGroupLayout;
  readonly mode: ParamMode;
  /** Where some tensors do not fit into one binding. */
  readonly windows: Windows | undefined;
}

const COMPUTE = 4;

/** Pipelines by what changes their code; layouts by the access pattern of their bindings. */
export class PipelineCache {
  /** Of group 1, where params are not immediates. */
  readonly uniformLayout: GPUBindGroupLayout;
  readonly #gpu: GPUDevice;
  readonly #counters: Counters;
  readonly #immediates: boolean;
  readonly #limits: BindingLimits;
  readonly #pipelines = new Map<string, Prepared>();
  readonly #making = new Map<string, Promise<void>>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();

  constructor(gpu: GPUDevice, counters: Counters, immediates: boolean, limits: BindingLimits) {
    this.#gpu = gpu;
    this.#counters = counters;
    this.#immediates = immediates;
    this.#limits = limits;
    this.uniformLayout = gpu.createBindGroupLayout({
      entries: [{ binding: 0, visibility: COMPUTE, buffer: { type: "uniform", hasDynamicOffset: true } }],
    });
  }

  get(op: string, kernel: Kernel): Prepared {
    const windows = windowsOf(op, kernel, this.#limits);
    const key = pipelineKey(op, kernel, windows);
    const known = this.#pipelines.get(key);
    if (known !== undefined) return known;
    const { descriptor, ...rest } = this.#describe(op, kernel, windows);
    return this.#add(key, { ...rest, pipeline: this.#gpu.createComputePipeline(descriptor) });
  }

  /** Makes the pipeline in the background. True where it was not there yet. */
  async make(op: string, kernel: Kernel): Promise<boolean> {
    const windows = windowsOf(op, kernel, this.#limits);
    const key = pipelineKey(op, kernel, windows);
    if (this.#pipelines.has(key)) return false;
    const running = this.#making.get(key);
    if (running !== undefined) {
      await running;
      return false;
    }
    const { descriptor, ...rest } = this.#describe(op, kernel, windows);
    const making = this.#gpu.createComputePipelineAsync(descriptor).then((pipeline) => {
      // An op that ran meanwhile may have needed it at once.
      if (!this.#pipelines.has(key)) this.#add(key, { ...rest, pipeline });
    });
    this.#making.set(key, making);
    try {
      await making;
    } finally {
      this.#making.delete(key);
    }
    return true;
  }

  #add(key: string, entry: Prepared): Prepared {
    this.#counters.pipelinesCreated++;
    this.#pipelines.set(key, entry);
    return entry;
  }

  #describe(op: string, kernel: Kernel, windows: Windows | undefined) {
    const layout = this.#layoutOf(kernel, windows);
    const mode = modeOf(kernel, this.#immediates);
    const descriptor: GPUComputePipelineDescriptor = {
      label: op,
      layout: this.#gpu.createPipelineLayout(
        mode === "immediate"
          ? { bindGroupLayouts: [layout], immediateSize: 4 * paramWords(kernel) }
          : { bindGroupLayouts: [layout, this.uniformLayout] },
      ),
      compute: {
        module: this.#gpu.createShaderModule({ label: op, code: moduleText(kernel, mode, windows) }),
        entryPoint: "main",
      },
    };
    return { descriptor, layout, mode, windows };
  }

  #layoutOf(kernel: Kernel, windows: Windows | undefined): GPUBindGroupLayout {
    const pattern = rangesOf(kernel, windows)
      .map(({ binding }) => (kernel.bindings[binding].access === "read" ? "r" : "w"))
      .join("");
    const known = this.#layouts.get(pattern);
    if (known !== undefined) return known;
    const layout = this.#gpu.createBindGroupLayout({
      entries: [...pattern].map((access, binding) => ({
        binding,
        visibility: COMPUTE,
        buffer: { type: access === "r" ? "read-only-storage" : "storage" },
      })),
    });
    this.#layouts.set(pattern, layout);
    return layout;
  }
}
