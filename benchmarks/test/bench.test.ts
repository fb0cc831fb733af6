import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { add, compile, type Device, fromArray, keep, mul, noGrad, scope, type Tensor } from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import { expect, onTestFinished, test } from "vitest";
import { GpuWatch } from "../src/gpuWatch.ts";
import { type Case, measure, quantile, type Result } from "../src/harness.ts";
import { openPeer, type Program } from "../src/peers.ts";
import { writeResults } from "../src/results.ts";
import { gptFlops, gptProblem, gptTask, mlpProblem, mlpTask } from "../src/suites/problems.ts";
import { compareLosses, graftStep } from "../src/suites/training.ts";

const { cpu, gpu } = await testDevices();

/** A suite of cases that take about so many milliseconds. */
const sleeping = (cases: Record<string, number>, more: Partial<Case> = {}) => ({
  name: "sleeping",
  cases: async () =>
    Object.entries(cases).map(([name, ms]) => ({
      name,
      ...more,
      run: () => new Promise((resolve) => setTimeout(resolve, ms)),
    })),
});

test("a result has a time for each round, their median and the ratio to the first case", async () => {
  const [fast, slow] = await measure(sleeping({ fast: 5, slow: 20 }, { flops: 1e6, tokens: 10 }), [], 3);
  expect(fast).toMatchObject({ suite: "sleeping", case: "fast", speedup: 1, dispatches: 0, bytes: 0 });
  expect(slow.ms).toHaveLength(3);
  expect(slow.median).toBe(quantile(slow.ms, 0.5));
  expect(slow.median).toBeGreaterThan(fast.median);
  expect(slow.speedup).toBeLessThan(1);
  expect(slow.gflops).toBe(1e6 / slow.median / 1e6);
  expect(slow.tokensPerSecond).toBe(10_000 / slow.median);
  const [, rest] = await measure(sleeping({ part: 5, all: 20 }, { less: "part", tokens: 10 }), [], 1);
  expect(rest.rest).toBeLessThan(rest.median);
  expect(rest.tokensPerSecond).toBe(10_000 / Number(rest.rest));
});

test("cases of a round run in turn", async () => {
  const order: string[] = [];
  const one = (name: string): Case => ({ name, run: () => void order.push(name) });
  await measure({ name: "turns", large: true, cases: async () => [one("a"), one("b")] }, [], 4);
  const timed = order.slice(6).join("").replace(/a+/g, "a").replace(/b+/g, "b");
  expect(timed).toBe("abababab");
});

test("quantiles take a value that was measured", () => {
  expect(quantile([5, 1, 4, 2, 3], 0.5)).toBe(3);
  expect(quantile([5, 1, 4, 2, 3], 0.75)).toBe(4);
  expect(quantile([1], 0.25)).toBe(1);
});

test("dispatches and touched buffers are those of the device, eager and compiled", async () => {
  const ones = (device: Device) => keep(fromArray(device, new Float32Array(256).fill(1), [256]));
  const [a, b] = [ones(gpu), ones(gpu)];
  const chain = (x: Tensor, y: Tensor): Tensor => noGrad(() => mul(add(x, y), y));
  using watch = await GpuWatch.open();
  const before = gpu.counters.dispatches;
  scope(() => void chain(a, b));
  // a, b, the sum and the product.
  expect(watch.take()).toEqual({ dispatches: gpu.counters.dispatches - before, bytes: 4 * 1024 });
  const compiled = compile(chain, { fuse: false });
  for (let i = 0; i < 2; i++) scope(() => void compiled(a, b));
  watch.take();
  const replayed = gpu.counters.dispatches;
  scope(() => void compiled(a, b));
  const { dispatches, bytes } = watch.take();
  expect(dispatches).toBe(gpu.counters.dispatches - replayed);
  expect(bytes).toBeGreaterThanOrEqual(3 * 1024);
  compiled.dispose();
  a.dispose();
  b.dispose();
  watch[Symbol.dispose]();
  const after = gpu.counters.dispatches;
  using unseen = ones(gpu);
  scope(() => void noGrad(() => add(unseen, unseen)));
  expect(gpu.counters.dispatches).toBe(after + 1);
  expect(watch.take()).toEqual({ dispatches: 0, bytes: 0 });
});

test("a peer that is not installed is left out, and one that is broken is an error", async () => {
  const folder = mkdtempSync(join(tmpdir(), "graft-peers-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = (name: string, text: string): URL => {
    writeFileSync(join(folder, name), text);
    return pathToFileURL(join(folder, name));
  };
  const missing = file("missing.mjs", 'import "@jax-js/no-such-package"; export const open = () => 1;');
  expect(await openPeer(missing)).toBeUndefined();
  const broken = file("broken.mjs", 'export const open = () => { throw new Error("no WebGPU"); };');
  await expect(openPeer(broken)).rejects.toThrow("no WebGPU");
  const sound = file("sound.mjs", "export const open = async (settle) => ({ settle });");
  expect(await openPeer(sound)).toHaveProperty("settle");
});

test("a day's results are one file, in which a suite is replaced by its later run", async () => {
  const folder = pathToFileURL(`${mkdtempSync(join(tmpdir(), "graft-results-"))}/`);
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const machine = { cpu: "AMD EPYC", cores: 2, node: "v20", adapter: "llvmpipe: Mesa 25.0~x (LLVM 15)" };
  const where = { folder, date: "2026-11-22" };
  const result = (suite: string, median: number): Result => ({
    ...{ suite, case: "one", ms: [median], median, spread: 0, speedup: 1 },
  });
  const first = [result("a", 1 / 3), result("b", 2)];
  expect(await writeResults({ ...machine, commit: "111" }, first, where)).toBe(
    "2026-11-22-llvmpipe-mesa-25.0-x.json",
  );
  const name = await writeResults({ ...machine, commit: "222" }, [result("b", 3)], where);
  expect(JSON.parse(readFileSync(new URL(name, folder), "utf8"))).toEqual({
    date: "2026-11-22",
    machine,
    results: [
      { ...result("a", 0.333333), commit: "111" },
      { ...result("b", 3), commit: "222" },
    ],
  });
});

test("losses that are apart stop a comparison before anything is timed", async () => {
  const program = (...losses: number[]): Program => {
    let at = -1;
    return {
      run: () => at++,
      finish: async () => {},
      result: async () => [losses[at]],
    };
  };
  const cases = (...other: number[]) => [
    { name: "Graft", program: program(3, 2, 1) },
    { name: "other", program: program(...other) },
  ];
  await compareLosses(cases(3.0005, 2, 0.9995));
  await expect(compareLosses(cases(3, 2, 1.002))).rejects.toThrow(
    "losses must agree within 0.001, but other gave 3, 2, 1.002 and Graft 3, 2, 1.",
  );
  await expect(compareLosses(cases(3, Number.NaN, 1))).rejects.toThrow("losses must agree");
});

test("the problems have the same losses eager and compiled, and they fall", async () => {
  for (const steps of [
    async (mode: "eager" | "compiled") => {
      const problem = await mlpProblem();
      return graftStep(cpu, await mlpTask(problem, cpu), problem, mode);
    },
    async (mode: "eager" | "compiled") => {
      const problem = await gptProblem();
      expect(gptFlops(problem)).toBe(3 * (2 * 512 * (24 * 256 ** 2 + 512 * 256) + 2 * 2 * 512 * 128 * 256));
      return graftStep(cpu, await gptTask(problem, cpu), problem, mode);
    },
  ]) {
    const programs = [await steps("eager"), await steps("compiled")];
    await compareLosses(programs.map((program, i) => ({ name: String(i), program })));
    const [third] = await programs[0].result();
    programs[0].run();
    expect((await programs[0].result())[0]).toBeLessThan(third);
  }
});
