import type { Watcher } from "../device/webgpu/commands.ts";
import type { Dispatch } from "../device/webgpu/dispatch.ts";
import type { GpuDevice } from "../device/webgpu/gpuDevice.ts";
import type { Watch } from "./cpu.ts";
import type { Seen } from "./record.ts";

/** Dispatches whose times go through one set of queries. */
const CHUNK = 256;

/** Sees each dispatch of a device, between two timestamps where it has them. */
export async function watchGpu(device: GpuDevice): Promise<Watch> {
  await device.finish();
  const seen: Seen[] = [];
  const timer = device.gpu.features.has("timestamp-query") ? new Timer(device.gpu) : undefined;
  const outer = device.watcher;
  const watcher: Watcher = {
    dispatched(dispatch: Dispatch) {
      const { op, kernel, bytes, flops } = dispatch;
      seen.push({ op, key: kernel.key, bytes, flops });
      return timer?.next() ?? {};
    },
    flushing: (encoder) => timer?.resolve(encoder),
  };
  device.watcher = watcher;
  return {
    async stop() {
      device.watcher = outer;
      try {
        await device.finish();
        const times = await timer?.read(device);
        if (times === undefined) return { timing: "whole", seen };
        for (const [i, entry] of seen.entries()) [entry.start, entry.ms] = times[i];
        return { timing: "timestamps", seen };
      } finally {
        timer?.dispose();
      }
    },
  };
}

interface Chunk {
  readonly queries: GPUQuerySet;
  readonly resolved: GPUBuffer;
  readonly staging: GPUBuffer;
  used: number;
  /** Queries whose values were copied. */
  copied: number;
}

/** Pairs of timestamps, in as many sets of queries as are needed. */
class Timer {
  readonly #gpu: GPUDevice;
  readonly #chunks: Chunk[] = [];

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
  }

  /** What the pass of the next dispatch is begun with. */
  next(): GPUComputePassDescriptor {
    let chunk = this.#chunks.at(-1);
    if (chunk === undefined || chunk.used === 2 * CHUNK || chunk.copied > 0) {
      chunk = this.#make();
      this.#chunks.push(chunk);
    }
    chunk.used += 2;
    return {
      timestampWrites: {
        querySet: chunk.queries,
        beginningOfPassWriteIndex: chunk.used - 2,
        endOfPassWriteIndex: chunk.used - 1,
      },
    };
  }

  /** Copies what was written since the last call. */
  resolve(encoder: GPUCommandEncoder): void {
    for (const chunk of this.#chunks) {
      if (chunk.copied > 0) continue;
      encoder.resolveQuerySet(chunk.queries, 0, chunk.used, chunk.resolved, 0);
      encoder.copyBufferToBuffer(chunk.resolved, 0, chunk.staging, 0, 8 * chunk.used);
      chunk.copied = chunk.used;
    }
  }

  /** Start and length of each pass in milliseconds, from the first start on; undefined where they make no sense (Dawn's null backend). */
  async read(device: GpuDevice): Promise<[start: number, ms: number][] | undefined> {
    const stamps: bigint[] = [];
    for (const { staging, copied } of this.#chunks) {
      await device.waitFor(staging.mapAsync(1)); // READ
      stamps.push(...new BigInt64Array(staging.getMappedRange(0, 8 * copied)));
      staging.unmap();
    }
    const times: [number, number][] = [];
    for (let i = 0; i < stamps.length; i += 2) {
      if (stamps[i + 1] < stamps[i] || stamps[i] < stamps[0]) return undefined;
      times.push([Number(stamps[i] - stamps[0]) / 1e6, Number(stamps[i + 1] - stamps[i]) / 1e6]);
    }
    return times;
  }

  dispose(): void {
    for (const { queries, resolved, staging } of this.#chunks) {
      queries.destroy();
      resolved.destroy();
      staging.destroy();
    }
  }

  #make(): Chunk {
    const size = 16 * CHUNK;
    return {
      queries: this.#gpu.createQuerySet({ type: "timestamp", count: 2 * CHUNK }),
      resolved: this.#gpu.createBuffer({ size, usage: 0x200 | 0x04 }), // QUERY_RESOLVE | COPY_SRC
      staging: this.#gpu.createBuffer({ size, usage: 0x01 | 0x08 }), // MAP_READ | COPY_DST
      used: 0,
      copied: 0,
    };
  }
}
