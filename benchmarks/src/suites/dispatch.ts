import {
  add,
  compile,
  exp,
  fromArray,
  type GpuDevice,
  mul,
  neg,
  noGrad,
  openScope,
  scope,
  type Tensor,
} from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import type { Case, Suite } from "../harness.ts";

/** Dispatches of a run, so that a run's milliseconds are microseconds for each. */
const DISPATCHES = 1000;

/**
 * What JavaScript and Dawn take for a dispatch, on Dawn's backend that checks everything and computes nothing: replayed with
 * params as immediates and through a uniform buffer, and as an eager op without and with a record for backward.
 */
export const dispatchSuite: Suite = {
  name: "dispatch",
  async cases() {
    const device = await openNull({});
    const uniform = await openNull({ immediates: false });
    return [
      replayed("replayed, immediates", device),
      replayed("replayed, uniform buffer", uniform),
      eager("eager", device, false),
      eager("eager with tape", device, true),
    ];
  },
};

async function openNull(options: { immediates?: boolean }): Promise<GpuDevice> {
  const before = process.env.GRAFT_ADAPTER;
  process.env.GRAFT_ADAPTER = "null";
  try {
    return await openWebGpu(options);
  } finally {
    if (before === undefined) delete process.env.GRAFT_ADAPTER;
    else process.env.GRAFT_ADAPTER = before;
  }
}

/** Four pipelines in turn, two to three bindings each. */
function chain(x: Tensor, y: Tensor): Tensor {
  let z = x;
  for (let i = 0; i < DISPATCHES; i += 4) z = neg(exp(mul(add(z, y), y)));
  return z;
}

function inputs(device: GpuDevice, requiresGrad: boolean): [Tensor, Tensor] {
  const values = new Float32Array(64).fill(1);
  return [fromArray(device, values, [64], { requiresGrad }), fromArray(device, values, [64])];
}

function named(name: string, device: GpuDevice, run: () => void): Case {
  return { name: `${name}, ${DISPATCHES} (ms: µs each)`, device, run };
}

function replayed(name: string, device: GpuDevice): Case {
  const [x, y] = inputs(device, false);
  const step = compile((a: Tensor, b: Tensor) => noGrad(() => chain(a, b)), { fuse: false });
  return named(name, device, () => {
    scope(() => void step(x, y));
  });
}

function eager(name: string, device: GpuDevice, requiresGrad: boolean): Case {
  const [x, y] = inputs(device, requiresGrad);
  return named(name, device, () => {
    using _all = openScope();
    chain(x, y);
  });
}
