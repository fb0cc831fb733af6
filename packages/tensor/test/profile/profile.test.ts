import {
  compile,
  type Device,
  DeviceLostError,
  fromArray,
  matmul,
  mul,
  noGrad,
  openScope,
  profile,
  softmax,
  sum,
  type Tensor,
} from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { testDevices, valuesOf } from "@graft/tensor/testing";
import { afterAll, describe, expect, test } from "vitest";
import { rowsOf, type Seen, shareOf } from "../../src/profile/record.ts";
import { openNull } from "../../test-support/nullDevice.ts";

const { gpu, cpu } = await testDevices();
const plain = await openWebGpu({ features: [] });
const none = await openNull();
afterAll(() => {
  plain.close();
  none.close();
});

const random = (device: Device, rows: number, columns: number): Tensor =>
  fromArray(device, valuesOf("normal", 1, rows * columns), [rows, columns]);

/** Three matmuls, a softmax and a sum. */
function work(device: Device): Tensor {
  const [a, b] = [random(device, 24, 16), random(device, 16, 24)];
  let y = matmul(a, b);
  for (let i = 0; i < 2; i++) y = matmul(matmul(y, a), b);
  return sum(softmax(y, 1));
}

describe.each([
  ["the GPU's timestamps", gpu, "timestamps"],
  ["a GPU without timestamps", plain, "whole"],
  ["a GPU whose timestamps make no sense", none, "whole"],
  ["the CPU", cpu, "clock"],
] as const)("profile by %s", (_, device, timing) => {
  const isTimed = timing !== "whole";

  test("counts what the device did and gives the function's value", async () => {
    using _all = openScope();
    const before = { ...device.counters };
    const seen = await profile(() => work(device), { device, roofline: false });
    expect(seen.timing).toBe(timing);
    expect(seen.device).toBe(device.name);
    if (device !== none) expect(await seen.value.item()).toBeCloseTo(24, 4);
    const matmuls = seen.rows.filter(({ op }) => op === "matmul");
    expect(matmuls.reduce((n, { flops }) => n + flops, 0)).toBe(5 * 2 * 24 * 16 * 24);
    if (device.kind === "webgpu") {
      expect(seen.dispatches).toBe(device.counters.dispatches - before.dispatches);
      expect(seen.submits).toBeGreaterThan(0);
    } else {
      expect(matmuls).toHaveLength(1);
      expect(matmuls[0].dispatches).toBe(5);
      // Of 24 × 16, 16 × 24 and 24 × 24 values, three together each time.
      expect(matmuls[0].bytes).toBe(5 * 4 * (24 * 16 + 16 * 24 + 24 * 24));
    }
    expect(seen.rows.map(({ op }) => op)).toEqual(expect.arrayContaining(["softmax", "sum"]));
    expect(seen.bytes).toBe(seen.rows.reduce((n, { bytes }) => n + bytes, 0));
    for (const { ms } of seen.rows) {
      if (isTimed) expect(ms).toBeGreaterThanOrEqual(0);
      else expect(ms).toBeUndefined();
    }
    expect(seen.ms === undefined).toBe(!isTimed);
    expect(seen.wallMs).toBeGreaterThan(0);
  });

  test("sees the dispatches of a replay too", async () => {
    using _all = openScope();
    const step = compile((a: Tensor) => noGrad(() => sum(matmul(a, a))));
    const x = random(device, 8, 8);
    step(x);
    const before = device.counters.dispatches;
    step(x);
    const each = device.counters.dispatches - before;
    const seen = await profile(
      () => {
        step(x);
        step(x);
      },
      { device, roofline: false },
    );
    if (device.kind === "webgpu") expect(seen.dispatches).toBe(2 * each);
    const matmuls = seen.rows.filter(({ op }) => op === "matmul");
    expect(matmuls.reduce((n, { flops }) => n + flops, 0)).toBe(2 * 2 * 8 ** 3);
    step.dispose();
  });

  test("prints a table and a trace that Perfetto opens", async () => {
    using _all = openScope();
    const seen = await profile(() => work(device), { device, roofline: false });
    const lines = seen.toString().split("\n");
    expect(lines[0]).toBe(
      `${device.name}: ${
        {
          timestamps: "each kernel between two timestamps of the GPU",
          clock: "each op by the clock",
          whole: "the whole only, since the device has no usable timestamps",
        }[timing]
      }`,
    );
    expect(lines[2]).toMatch(/^op +kernel +calls +ms +% +GFLOP\/s +GB\/s +of best$/);
    expect(lines.filter((line) => line.startsWith("matmul"))).not.toEqual([]);
    expect(lines.at(-1)).toMatch(/ms in all; \d+ dispatches in \d+ submits, \S+ GFLOP, \S+ MB bound$/);

    const { traceEvents, displayTimeUnit } = JSON.parse(JSON.stringify(seen.toTrace()));
    expect(displayTimeUnit).toBe("ms");
    const done = traceEvents.filter(({ ph }: { ph: string }) => ph === "X");
    expect(done).toHaveLength(isTimed ? seen.dispatches : 1);
    let last = 0;
    for (const { name, ts, dur, pid, tid } of done) {
      expect([typeof name, pid, tid]).toEqual(["string", 1, 1]);
      expect(ts).toBeGreaterThanOrEqual(last);
      expect(dur).toBeGreaterThanOrEqual(0);
      last = ts;
    }
  });

  test("nothing is seen after it, also where the function fails", async () => {
    using _all = openScope();
    const failing = profile(() => Promise.reject(new RangeError("no")), { device, roofline: false });
    await expect(failing).rejects.toThrow("no");
    const seen = await profile(() => {}, { device, roofline: false });
    mul(random(device, 2, 2), 3);
    expect([seen.dispatches, seen.flops, seen.rows]).toEqual([0, 0, []]);
    if (device.kind === "webgpu") expect(device.watcher).toBeUndefined();
  });
});

test("more dispatches than one set of queries holds keep their order", async () => {
  using _all = openScope();
  const seen = await profile(
    () => {
      let x = random(gpu, 2, 2);
      for (let i = 0; i < 700; i++) x = i % 7 === 0 ? mul(x, 2) : x.add(1);
      return x;
    },
    { device: gpu, roofline: false },
  );
  expect(seen.dispatches).toBe(700);
  const names = seen
    .toTrace()
    .traceEvents.filter(({ ph }) => ph === "X")
    .map(({ name }) => name);
  expect(names).toEqual(Array.from({ length: 700 }, (_, i) => (i % 7 === 0 ? "mul" : "add")));
});

test("the roofline is measured once for a device", async () => {
  const first = await profile(() => {}, { device: cpu });
  const second = await profile(() => {}, { device: cpu });
  expect(second.roofline).toBe(first.roofline);
  expect(first.roofline?.flops).toBeGreaterThan(0);
  expect(first.roofline?.bytes).toBeGreaterThan(0);
  expect(first.toString()).toMatch(/\nbest seen: \S+ GFLOP\/s \(matmul\), \S+ GB\/s \(copy\)\n/);
});

test("rows add up, and the share of the roofline is that of what bounds the work", () => {
  const seen: Seen[] = [
    { op: "a", key: "x", bytes: 1e6, flops: 0, start: 0, ms: 2 },
    { op: "b", key: "", bytes: 10, flops: 3e6, start: 2, ms: 3 },
    { op: "a", key: "x", bytes: 1e6, flops: 5, start: 5, ms: 2 },
    { op: "a", key: "y", bytes: 1, flops: 0, start: 7 },
  ];
  const rows = rowsOf(seen);
  expect(rows).toEqual([
    { op: "a", key: "x", dispatches: 2, bytes: 2e6, flops: 5, ms: 4 },
    { op: "b", key: "", dispatches: 1, bytes: 10, flops: 3e6, ms: 3 },
    { op: "a", key: "y", dispatches: 1, bytes: 1, flops: 0, ms: undefined },
  ]);
  const roofline = { flops: 2e9, bytes: 1e9 };
  expect(rows.map((row) => shareOf(row, roofline))).toEqual([0.5, 0.5, undefined]);
});

test("a device that is lost while it is profiled is told", async () => {
  const device = await openWebGpu();
  const failing = profile(
    () => {
      device.gpu.destroy();
      return device.lost;
    },
    { device, roofline: false },
  );
  await expect(failing).rejects.toThrow(DeviceLostError);
});
