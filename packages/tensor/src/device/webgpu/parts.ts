import { bytesPer } from "../../dtype.ts";
import type { Kernel } from "../../ops/kernel.ts";
import { sizeOf } from "../../shape.ts";
import { ALIGNMENT } from "./windows.ts";

/** The bytes of a buffer that a binding shows. */
export interface Part {
  readonly offset: number;
  readonly size: number;
}

/**
 * Where a kernel writes to several values of one buffer, the part of each that its binding shows: WebGPU lets a kernel bind a buffer
 * twice for writing only where the parts do not overlap. Undefined where each has its own buffer, nearly always. The values must
 * begin `ALIGNMENT` bytes apart.
 */
export function partsOf({ bindings }: Kernel): readonly (Part | undefined)[] | undefined {
  const written = bindings.filter(({ access }) => access !== "read").map(({ view }) => view.storage);
  if (new Set(written).size === written.length) return undefined;
  return bindings.map(({ view: { shape, dtype, storage, offset: start }, access }) => {
    if (access === "read" || written.indexOf(storage) === written.lastIndexOf(storage)) return undefined;
    const first = storage.start + start * bytesPer(dtype);
    const offset = Math.floor(first / ALIGNMENT) * ALIGNMENT;
    const end = Math.ceil((first + sizeOf(shape) * bytesPer(dtype)) / 4) * 4;
    return { offset, size: Math.max(4, end - offset) };
  });
}
