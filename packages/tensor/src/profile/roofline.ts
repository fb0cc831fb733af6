import { ones } from "../create.ts";
import type { Device } from "../device/device.ts";
import { matmul } from "../ops/matmul/matmul.ts";
import { mul } from "../ops/mul.ts";
import { openScope } from "../scope.ts";
import type { Tensor } from "../tensor.ts";
import type { Roofline } from "./record.ts";

/** Work of this many milliseconds is long enough to be timed. */
const ENOUGH = 20;
/** Times that a problem is run in one go, and goes of which the shortest counts. */
const RUNS = 4;
const GOES = 3;

interface Problem {
  /** Operations or bytes of one run. */
  readonly amount: number;
  readonly run: () => Tensor;
}

const known = new WeakMap<Device, Promise<Roofline>>();

/** The most that a device was seen to do, measured at the first call for it. */
export function rooflineOf(device: Device): Promise<Roofline> {
  const found = known.get(device);
  if (found !== undefined) return found;
  const measuring = measure(device);
  known.set(device, measuring);
  measuring.catch(() => known.delete(device));
  return measuring;
}

async function measure(device: Device): Promise<Roofline> {
  // Matrices of 256 to 4,096, copies of 1 to 64 MiB: larger ones only where these are over too soon.
  const flops = await rate(device, [256, 512, 1024, 2048, 4096], (n) => {
    const [a, b] = [ones(device, [n, n]), ones(device, [n, n])];
    return { amount: 2 * n ** 3, run: () => matmul(a, b) };
  });
  const bytes = await rate(device, [18, 20, 22, 24], (log) => {
    const x = ones(device, [2 ** log]);
    return { amount: 8 * 2 ** log, run: () => mul(x, 2) };
  });
  return { flops, bytes };
}

/** The best rate per second over problems of growing size. */
async function rate(
  device: Device,
  sizes: readonly number[],
  problem: (size: number) => Problem,
): Promise<number> {
  let best = 0;
  for (const size of sizes) {
    using _all = openScope();
    const { amount, run } = problem(size);
    run(); // builds the pipeline
    let shortest = Number.POSITIVE_INFINITY;
    for (let go = 0; go < GOES; go++) {
      await device.throttle(0);
      const began = performance.now();
      for (let i = 0; i < RUNS; i++) run().dispose();
      await device.throttle(0);
      shortest = Math.min(shortest, performance.now() - began);
    }
    best = Math.max(best, (1000 * RUNS * amount) / shortest);
    if (shortest > ENOUGH) break;
  }
  return best;
}
