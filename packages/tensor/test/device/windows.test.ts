// Tensors longer than a binding: the same ops on a device whose bindings are made short, and once at the real limit.
import {
  adamWStep,
  add,
  arange,
  cast,
  concat,
  copyInto,
  type Device,
  embedding,
  fromArray,
  gather,
  matmul,
  noGrad,
  OutOfMemoryError,
  ones,
  openScope,
  permute,
  rmsNorm,
  slice,
  softmax,
  sum,
  type Tensor,
  zeros,
} from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { checkForward, checkGradient, type Sample, testDevices, valuesOf } from "@graft/tensor/testing";
import { afterAll, describe, expect, test } from "vitest";
import { allCases } from "../ops/everyOp.ts";

const { reference, shaders, gpu } = await testDevices();
const short = await openWebGpu({ bindingBytes: 256 });
afterAll(() => short.close());
const devices = { reference, cpu: reference, gpu: short, all: [short] as readonly Device[], shaders };

/** Edges of each op whose gradients are computed: compiling them takes longest. */
const GRADIENTS = 2;

/** Runs a check on all samples at once, or one by one where some do not fit; counts those that do not. */
async function refused(
  samples: readonly Sample[],
  check: (samples: readonly Sample[]) => Promise<void>,
): Promise<number> {
  try {
    await check(samples);
    return 0;
  } catch (error) {
    if (!(error instanceof OutOfMemoryError)) throw error;
    expect(error.message).toMatch(
      /: its tensors must fit into \d+ bindings of at most 256 bytes on this device, got \d+ /,
    );
    if (samples.length === 1) return 1;
    let count = 0;
    for (const sample of samples) count += await refused([sample], check);
    return count;
  }
}

describe("every op gives what float64 gives through windows of 64 values", { timeout: 120_000 }, async () => {
  const counts = { ran: 0, refused: 0 };
  for (const cases of [...(await allCases()).values()].flat()) {
    test(cases.name, async () => {
      const { edges, gradient } = cases;
      const tooLarge = await refused(edges, (samples) => checkForward(cases, samples, devices));
      counts.refused += tooLarge;
      counts.ran += edges.length - tooLarge;
      if (gradient === undefined)
        await refused(edges.slice(0, GRADIENTS), (samples) => checkGradient(cases, samples, devices));
    });
  }
  afterAll(() => expect(counts.ran).toBeGreaterThan(5 * counts.refused));
});

const random = (device: Device, seed: number, shape: readonly number[]): Tensor =>
  fromArray(
    device,
    valuesOf(
      "normal",
      seed,
      shape.reduce((a, b) => a * b, 1),
    ),
    shape,
  );

describe("through two windows of each tensor", () => {
  const calls: Record<string, (device: Device) => Tensor> = {
    add: (device) => add(random(device, 1, [100]), random(device, 2, [100])),
    "a view across the border": (device) =>
      random(device, 1, [120])
        .reshape([2, 60])
        .add(random(device, 2, [60])),
    "cast to f16 and back": (device) => cast(cast(random(device, 1, [201]), "f16"), "f32"),
    "cast to bf16 and back": (device) => cast(cast(random(device, 1, [201]), "bf16"), "f32"),
    permute: (device) => permute(random(device, 1, [10, 9]), [1, 0]),
    concat: (device) => concat([random(device, 1, [50]), random(device, 2, [50])], 0),
    matmul: (device) => matmul(random(device, 1, [10, 12]), random(device, 2, [12, 10])),
    sum: (device) => sum(random(device, 1, [10, 10]), 0),
    softmax: (device) => softmax(random(device, 1, [4, 25]), 1),
    rmsNorm: (device) => rmsNorm(random(device, 1, [4, 32]), ones(device, [32])),
    embedding: (device) =>
      embedding(random(device, 1, [20, 6]), fromArray(device, [0, 19, 11], [3], { dtype: "i32" })),
    gather: (device) =>
      gather(random(device, 1, [20, 6]), 0, fromArray(device, [19, 0, 3, 4, 5, 6], [1, 6], { dtype: "i32" })),
    adamWStep: (device) => {
      const parameter = random(device, 1, [100]);
      noGrad(() =>
        adamWStep(parameter, random(device, 2, [100]), zeros(device, [100]), zeros(device, [100]), {
          learningRate: 0.1,
          betas: [0.9, 0.999],
          eps: 1e-8,
          weightDecay: 0.01,
          step: 1,
        }),
      );
      return parameter;
    },
  };

  test.each(Object.entries(calls))("%s gives the same bits as through one", async (_, call) => {
    using _all = openScope();
    const [whole, parts] = await Promise.all([call(gpu).toArray(), call(short).toArray()]);
    expect([...parts]).toEqual([...whole]);
  });
});

test("more than WebGPU's 128 MiB is computed, and its values are right across the border", async () => {
  const device = await openWebGpu({ limits: "default" });
  const owner = openScope();
  const limit = 2 ** 27 / 4;
  expect(device.gpu.limits.maxStorageBufferBindingSize).toBe(4 * limit);
  const x = zeros(device, [limit + 5]);
  copyInto(slice(x, 0, limit - 2, limit + 3), arange(device, 1, 6));
  const y = x.mul(x);
  expect([...(await slice(y, 0, limit - 4).toArray())]).toEqual([0, 0, 1, 4, 9, 16, 25, 0, 0]);
  expect(await sum(y).item()).toBe(55);
  owner[Symbol.dispose]();
  device.close();
});
