import type { View } from "../device/device.ts";
import { copyOp } from "../ops/copyInto.ts";
import type { Op } from "../ops/op.ts";
import type { Run } from "./trace.ts";

/** A run that copies one value into another. */
export function copyRun(to: View, from: View): Run {
  return { op: copyOp as Op<unknown>, attrs: null, inputs: [to, from], outputs: [] };
}
