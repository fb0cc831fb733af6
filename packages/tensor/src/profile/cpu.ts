import type { CpuDevice } from "../device/cpu/cpuDevice.ts";
import type { View } from "../device/device.ts";
import { bytesPer } from "../dtype.ts";
import { flopsOf } from "../ops/flops.ts";
import type { Op } from "../ops/op.ts";
import { sizeOf } from "../shape.ts";
import type { Seen } from "./record.ts";

/** What `profile` gets when it is over. */
export interface Watched {
  readonly timing: "timestamps" | "clock" | "whole";
  readonly seen: readonly Seen[];
}

export interface Watch {
  stop(): Promise<Watched>;
}

/** Times each op by the clock: the CPU device runs it within the call. */
export function watchCpu(device: CpuDevice): Watch {
  const seen: Seen[] = [];
  const began = performance.now();
  const before = device.run;
  const run = before.bind(device);
  device.run = <A>(op: Op<A>, inputs: readonly View[], outputs: readonly View[], attrs: A) => {
    const start = performance.now();
    run(op, inputs, outputs, attrs);
    const ms = performance.now() - start;
    const bytes = [...inputs, ...outputs].reduce(
      (sum, { shape, dtype }) => sum + sizeOf(shape) * bytesPer(dtype),
      0,
    );
    const flops = flopsOf(op, inputs, outputs, attrs);
    seen.push({ op: op.name, key: "", bytes, flops, start: start - began, ms });
  };
  return {
    stop: async () => {
      device.run = before;
      return { timing: "clock", seen };
    },
  };
}
