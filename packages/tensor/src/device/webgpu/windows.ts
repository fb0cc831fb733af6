import { bytesPer } from "../../dtype.ts";
import { OutOfMemoryError } from "../../errors.ts";
import type { Kernel } from "../../ops/kernel.ts";
import { sizeOf } from "../../shape.ts";
import type { View } from "../device.ts";

/** The alignment that every device takes for the offset of a binding. */
export const ALIGNMENT = 256;

/** What a device can bind at once. */
export interface BindingLimits {
  /** Bytes of one binding. */
  readonly bytes: number;
  /** Storage bindings of one kernel. */
  readonly bindings: number;
}

/** The windows that a kernel sees its buffers through, where one binding does not reach to the end of a tensor. */
export interface Windows {
  /** Bytes of a window, all but the last of a buffer. */
  readonly bytes: number;
  /** Windows of each of the kernel's bindings; they are bound one after the other. */
  readonly counts: readonly number[];
}

/** One window of a binding, in the order in which they are bound. */
export interface BoundRange {
  /** Number of the kernel's binding. */
  readonly binding: number;
  /** Number of the window. */
  readonly window: number;
}

/** Undefined where every tensor can be bound as it is, which is nearly always. Throws OutOfMemoryError for more windows than a kernel may have. */
export function windowsOf(op: string, kernel: Kernel, limits: BindingLimits): Windows | undefined {
  let isLarge = false;
  for (const { view } of kernel.bindings) if (endOf(view) > limits.bytes) isLarge = true;
  if (!isLarge) return undefined;
  const bytes = Math.floor(limits.bytes / ALIGNMENT) * ALIGNMENT;
  const counts = kernel.bindings.map(({ view }) => Math.max(1, Math.ceil(endOf(view) / bytes)));
  const needed = counts.reduce((sum, count) => sum + count, 0);
  if (needed > limits.bindings) {
    throw new OutOfMemoryError(
      op,
      `its tensors must fit into ${limits.bindings} bindings of at most ${limits.bytes} bytes on this device, got ${needed} (tensors end at ${kernel.bindings.map(({ view }) => endOf(view)).join(", ")} bytes). Use a smaller batch, a shorter sequence or fewer bits.`,
    );
  }
  return { bytes, counts };
}

/** All that is bound, in order. */
export function rangesOf(kernel: Kernel, windows: Windows | undefined): BoundRange[] {
  return kernel.bindings.flatMap((_, binding) =>
    Array.from({ length: windows?.counts[binding] ?? 1 }, (__, window) => ({ binding, window })),
  );
}

/** The part of a buffer that a window shows. */
export function rangeIn(
  buffer: GPUBuffer,
  { binding, window }: BoundRange,
  windows: Windows | undefined,
  limits: BindingLimits,
): GPUBufferBinding {
  const count = windows?.counts[binding] ?? 1;
  if (windows === undefined || count === 1)
    return buffer.size <= limits.bytes ? { buffer } : { buffer, size: limits.bytes };
  const offset = window * windows.bytes;
  return { buffer, offset, size: Math.min(windows.bytes, buffer.size - offset) };
}

/** Bytes from the start of the buffer to the end of a tensor in it. */
function endOf({ shape, dtype, offset, storage }: View): number {
  return storage.start + Math.ceil(((offset + sizeOf(shape)) * bytesPer(dtype)) / 4) * 4;
}
