import type { View } from "../device/device.ts";
import type { DType } from "../dtype.ts";
import type { TileRecord } from "./matmul/record.ts";

/** What a kernel generator may know of the adapter. Nothing here is required: every op also has a version without. */
export interface GpuInfo {
  readonly subgroups: boolean;
  /** 0 where it is not known or not fixed. */
  readonly subgroupSize: number;
  /** Whether the adapter computes on the CPU, where a load costs more than arithmetic and memory of a workgroup saves nothing. */
  readonly software: boolean;
  readonly shaderF16: boolean;
  /** Kernels of products that were measured on this machine and are used in place of the shipped table's. Default: none. */
  readonly tiles?: TileRecord;
  /** A buffer that lives until the op's last kernel. */
  scratch(dtype: DType, size: number): View;
  /** A u32 buffer with these words, to be read only. The same words give the same place in the same buffer. */
  constants(words: readonly number[]): View;
}

/** A tensor bound to a kernel under a name. `update` reads and writes. */
export interface Binding {
  readonly name: string;
  readonly view: View;
  readonly access: "read" | "write" | "update";
  /** Read (or written, but for f16 and bf16) four values at once, for views whose offset is a multiple of 4. */
  readonly as?: "vec4";
}

/**
 * A number that a kernel reads. Where it is a function it is asked for each time the kernel is queued, also when a compiled
 * step is replayed: for what changes from step to step (learning rate, keys, lengths).
 */
export type Param = readonly [name: string, type: "u32" | "i32" | "f32", value: number | (() => number)];

/**
 * One dispatch. The device declares the bindings and, for each binding `x`,
 * `x_at(i)` (reads value i, widened to f32 from f16 and bf16; bool as WGSL's bool) and `x_put(i, value)` for what may be
 * written, with the view's offset added, and `P`, the params. Written f16 and bf16 are whole words instead,
 * `x_word(w)` and `x_put_word(w, bits)`, where word w holds values 2w and 2w + 1 of the buffer, whatever the offset. A binding as vec4 has
 * `x_at4(i)` and `x_put4(i, value)` instead, where i counts vec4s. There is no other way to the buffer, since a large one is bound in parts.
 */
export interface Kernel {
  /** Names the code: two kernels of an op with the same key, types of bindings and params have the same code. */
  readonly key: string;
  readonly bindings: readonly Binding[];
  readonly params?: readonly Param[];
  /**
   * "element": one invocation for each of `count` values; `i` is its number.
   * "group": one workgroup of `lanes` invocations for each of `count` items; `group` and `lane` are given.
   */
  readonly over: "element" | "group";
  readonly count: number;
  /** Invocations of a workgroup. Default 64. */
  readonly lanes?: number;
  /** Enables the subgroup operations; `sub` is then the lane's number in its subgroup. */
  readonly subgroups?: boolean;
  /** Module-level WGSL: functions, workgroup variables. */
  declare?(): string;
  /** The body of main. */
  main(): string;
}
