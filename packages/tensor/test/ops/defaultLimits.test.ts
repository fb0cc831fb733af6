// Every op on a device as any adapter must give it: WebGPU's default limits, no optional feature, params through a uniform buffer.
import { type Device, openScope, softmax, sum, zeros } from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { checkForward, checkGradient, testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";
import { allCases } from "./everyOp.ts";

const { reference, shaders } = await testDevices();
const gpu = await openWebGpu({ limits: "default", features: [], immediates: false });
const devices = { reference, cpu: reference, gpu, all: [gpu] as readonly Device[], shaders };

/** Edges of each op whose gradients are computed: compiling them takes longest. */
const GRADIENTS = 2;

test("the device is as poor as it may be", () => {
  expect([...gpu.gpu.features].filter((name) => name !== "core-features-and-limits")).toEqual([]);
  expect(gpu.gpu.limits.maxStorageBufferBindingSize).toBe(2 ** 27);
  expect(gpu.gpu.limits.maxStorageBuffersPerShaderStage).toBeLessThanOrEqual(10);
  expect(gpu.gpu.limits.maxComputeWorkgroupStorageSize).toBe(2 ** 14);
  expect(gpu.gpu.limits.maxComputeInvocationsPerWorkgroup).toBe(256);
  expect(gpu.info).toMatchObject({ subgroups: false, subgroupSize: 0, shaderF16: false });
});

describe("every op gives what float64 gives under default limits", { timeout: 120_000 }, async () => {
  for (const cases of [...(await allCases()).values()].flat()) {
    test(cases.name, async () => {
      // The edges: the profile changes few kernels, and all are sampled elsewhere.
      await checkForward(cases, cases.edges, devices);
      if (cases.gradient === undefined) await checkGradient(cases, cases.edges.slice(0, GRADIENTS), devices);
    });
  }
});

test("more rows than one axis of a grid has workgroups", async () => {
  using _all = openScope();
  const rows = 65_535 + 3;
  const half = await softmax(zeros(gpu, [rows, 2]), 1).toArray();
  expect([half.length, half[0], half[2 * rows - 1]]).toEqual([2 * rows, 0.5, 0.5]);
  expect(half.every((value) => value === 0.5)).toBe(true);
  expect(await sum(sum(zeros(gpu, [rows, 2]).add(1), 1)).item()).toBe(2 * rows);
});
