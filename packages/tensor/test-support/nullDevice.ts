import type { GpuDevice } from "@graft/tensor";
import { type NodeGpuOptions, openWebGpu } from "@graft/tensor/node";

/** A device on Dawn's backend that checks everything and computes nothing. It has 512 MiB. */
export async function openNull(options: NodeGpuOptions = {}): Promise<GpuDevice> {
  const before = process.env.GRAFT_ADAPTER;
  process.env.GRAFT_ADAPTER = "null";
  try {
    return await openWebGpu(options);
  } finally {
    if (before === undefined) delete process.env.GRAFT_ADAPTER;
    else process.env.GRAFT_ADAPTER = before;
  }
}
