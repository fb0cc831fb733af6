import { ones } from "../create.ts";
import type { Device } from "../device/device.ts";
import { matmul } from "../ops/matmul/matmul.ts";
import { apply, type Op } from "../ops/op.ts";
import { openScope } from "../scope.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import type { Roofline } from "./record.ts";
import { watchDevice } from "./watch.ts";

/** A kernel of this many milliseconds is long enough to be timed, and too long for caches to matter. */
const ENOUGH = 5;
/** Runs of a problem, of which the shortest counts. */
const RUNS = 4;

/** Values that an invocation copies. */
const EACH = 16;

/** A copy as fast as a kernel can: neighbouring invocations move neighbouring vec4s, each several. */
const copyOp: Op<null> = {
  name: "copy",
  infer: ([x]) => [x],
  cpu: ([x], [y]) => y.data.set(x.data),
  wgsl: ([x], [y]) => [
    {
      key: "vec4",
      over: "element",
      lanes: 256,
      count: sizeOf(x.shape) / EACH,
      bindings: [
        { name: "x", view: x, access: "read", as: "vec4" },
        { name: "y", view: y, access: "write", as: "vec4" },
      ],
      main: () => `for (var k = 0u; k < ${EACH / 4}u; k++) {
    let at = i + k * P.count;
    y_put4(at, x_at4(at));
  }`,
    },
  ],
  gradient: "none: it is only timed",
  flops: () => 0,
};

const known = new WeakMap<Device, Promise<Roofline>>();

/** What a device can do, measured at the first call for it. */
export function rooflineOf(device: Device): Promise<Roofline> {
  const found = known.get(device);
  if (found !== undefined) return found;
  const measuring = measure(device);
  known.set(device, measuring);
  measuring.catch(() => known.delete(device));
  return measuring;
}

async function measure(device: Device): Promise<Roofline> {
  // Larger problems only where these are over too soon.
  const flops = await rate(device, [256, 512, 1024, 2048, 4096], (n) => {
    const [a, b] = [ones(device, [n, n]), ones(device, [n, n])];
    return { amount: 2 * n ** 3, run: () => matmul(a, b) };
  });
  const bytes = await rate(device, [2 ** 22, 2 ** 24], (n) => {
    const x = ones(device, [n]);
    return { amount: 8 * n, run: () => apply(copyOp, [x], null)[0] };
  });
  return { flops, bytes };
}

interface Problem {
  /** Operations or bytes of one run. */
  readonly amount: number;
  readonly run: () => Tensor;
}

/** What is done in a second of the first problem that takes long enough, or of the last. */
async function rate(
  device: Device,
  sizes: readonly number[],
  problem: (size: number) => Problem,
): Promise<number> {
  let found = 0;
  for (const size of sizes) {
    using _all = openScope();
    const { amount, run } = problem(size);
    run().dispose(); // builds the pipeline
    const ms = await shortest(device, run);
    found = (1000 * amount) / ms;
    if (ms > ENOUGH) break;
  }
  return found;
}

/** Milliseconds of the shortest of some runs: of its kernels where they are timed, else by the clock. */
async function shortest(device: Device, run: () => Tensor): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < RUNS; i++) {
    const watch = await watchDevice(device);
    const began = performance.now();
    run().dispose();
    const { seen } = await watch.stop();
    const wall = performance.now() - began;
    const ms = seen.reduce((sum, entry) => sum + (entry.ms ?? Number.NaN), 0);
    least = Math.min(least, ms > 0 ? ms : wall);
  }
  return least;
}
