import { bytesPer } from "../../dtype.ts";
import type { Kernel } from "../../ops/kernel.ts";
import { sizeOf } from "../../shape.ts";
import { type Part, partsOf } from "./parts.ts";
import type { Prepared } from "./pipelines.ts";
import { gridOf, paramWords, writeParams } from "./shader.ts";
import type { Windows } from "./windows.ts";

/** How a kernel gets its params: as immediates, or in a slot of a uniform buffer that is bound with a dynamic offset. */
export type ParamMode = "immediate" | "uniform";

/** Params that fit into the 64 bytes of immediates which WebGPU promises. */
const MOST_IMMEDIATE_WORDS = 16;
/** Bytes of a slot of params in a uniform buffer: WebGPU's alignment of dynamic offsets. */
export const SLOT = 256;

/** The mode of a kernel on a device with or without immediates. */
export function modeOf(kernel: Kernel, immediates: boolean): ParamMode {
  return immediates && paramWords(kernel) <= MOST_IMMEDIATE_WORDS ? "immediate" : "uniform";
}

/** A kernel that is ready to be encoded, any number of times: by eager ops once, by a compiled step in each replay. */
export class Dispatch {
  /** The op's name, for messages and profiles. */
  readonly op: string;
  readonly kernel: Kernel;
  readonly pipeline: GPUComputePipeline;
  /** Of group 0, the kernel's bindings in their order. */
  readonly layout: GPUBindGroupLayout;
  readonly mode: ParamMode;
  readonly windows: Windows | undefined;
  readonly parts: readonly (Part | undefined)[] | undefined;
  /** The params. In uniform mode they are to be copied to a slot; group 1 is then that uniform buffer. */
  readonly words: Uint32Array<ArrayBuffer>;
  readonly grid: readonly [x: number, y: number];
  /** Whether some params are functions, so that `refresh` can change `words`. */
  readonly live: boolean;
  /** Of the whole op, where this is the first of its kernels; else 0. */
  readonly flops: number;
  /** Of the tensors that it binds. */
  readonly bytes: number;
  readonly #floats: Float32Array;

  constructor(op: string, kernel: Kernel, { pipeline, layout, mode, windows }: Prepared, flops = 0) {
    this.op = op;
    this.kernel = kernel;
    this.pipeline = pipeline;
    this.layout = layout;
    this.mode = mode;
    this.flops = flops;
    this.windows = windows;
    this.parts = partsOf(kernel);
    this.words = new Uint32Array(paramWords(kernel));
    this.#floats = new Float32Array(this.words.buffer);
    this.grid = gridOf(kernel);
    this.bytes = kernel.bindings.reduce(
      (sum, { view: { shape, dtype } }) => sum + sizeOf(shape) * bytesPer(dtype),
      0,
    );
    this.live = kernel.params?.some(([, , value]) => typeof value === "function") ?? false;
    this.refresh();
  }

  /** Asks every param again. */
  refresh(): void {
    writeParams(this.kernel, this.#floats, this.words, 0, this.parts);
  }

  /** Records it. `slot` is where the params lie in uniform mode: a bind group of group 1 and the byte offset. */
  encode(pass: GPUComputePassEncoder, group: GPUBindGroup, slot?: GPUBindGroup, offset = 0): void {
    pass.setPipeline(this.pipeline);
    pass.setBindGroup(0, group);
    if (slot === undefined) pass.setImmediates(0, this.words);
    else pass.setBindGroup(1, slot, [offset]);
    pass.dispatchWorkgroups(this.grid[0], this.grid[1]);
  }
}
