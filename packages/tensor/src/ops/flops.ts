import { sizeOf } from "../shape.ts";
import type { Meta, Op } from "./op.ts";

/** Floating-point operations of one run of an op: its own count, or one for each value that it writes. */
export function flopsOf<A>(op: Op<A>, inputs: readonly Meta[], outputs: readonly Meta[], attrs: A): number {
  if (op.flops !== undefined) return op.flops(inputs, outputs, attrs);
  return outputs.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}
