import {
  fromArray,
  type GpuDevice,
  mul,
  ones,
  openCpu,
  openScope,
  slice,
  type Tensor,
  zeros,
} from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { testDevices } from "@graft/tensor/testing";
import { afterEach, describe, expect, test, vi } from "vitest";
import { settle } from "../../src/device/node/settle.ts";

const { gpu } = await testDevices();
const opened: GpuDevice[] = [];
afterEach(() => {
  for (const device of opened.splice(0)) device.close();
  vi.restoreAllMocks();
});

async function open(options: Parameters<typeof openWebGpu>[0]): Promise<GpuDevice> {
  const device = await openWebGpu(options);
  opened.push(device);
  return device;
}

/** Adds 1 so many times. */
function chain(x: Tensor, ops: number): Tensor {
  let y = x;
  for (let i = 0; i < ops; i++) y = y.add(1);
  return y;
}

describe("recorded work", () => {
  test.each([
    ["is submitted after so many dispatches", { dispatches: 10, bytes: 1e12 }, 2],
    ["is submitted after so many bytes of bound tensors", { dispatches: 1000, bytes: 5 * 8000 }, 5],
    ["is submitted at a read, else", { dispatches: 1000, bytes: 1e12 }, 0],
  ])("%s", async (_, flush, submits) => {
    const device = await open({ flush });
    using _all = openScope();
    const x = zeros(device, [1000]);
    device.flush();
    const before = device.counters.submits;
    const y = chain(x, 25); // each binds 4,000 bytes twice
    expect(device.counters.submits - before).toBe(submits);
    expect((await y.toArray())[999]).toBe(25);
    expect(device.counters.submits - before).toBe(submits + 1);
  });

  test("gives the same in parts of any size, with params in a ring too", async () => {
    using _all = openScope();
    for (const dispatches of [1, 3, 64]) {
      const device = await open({ flush: { dispatches, bytes: 1e12 }, immediates: false });
      expect([...(await chain(zeros(device, [2]), 130).toArray())]).toEqual([130, 130]);
    }
  });
});

describe("reading", () => {
  test("small results makes no buffer once the first were read", async () => {
    using _all = openScope();
    const device = await open({});
    const x = fromArray(device, [1, 2, 3], [3]);
    const first = slice(x, 0, 0, 1);
    await Promise.all([x.toArray(), first.toArray()]);
    const before = device.counters.buffersCreated;
    for (let i = 0; i < 5; i++) {
      const [all, one] = await Promise.all([x.toArray(), first.toArray()]);
      expect([[...all], [...one]]).toEqual([[1, 2, 3], [1]]);
    }
    expect(device.counters.buffersCreated).toBe(before);
  });

  test("results that are asked for together takes one submit", async () => {
    using _all = openScope();
    const tensors = [1, 2, 3].map((value) => ones(gpu, [4]).mul(value));
    const { submits } = gpu.counters;
    const read = Promise.all(tensors.map((tensor) => tensor.toArray()));
    for (const tensor of tensors) tensor.dispose();
    const other = ones(gpu, [4]).mul(9); // takes a buffer that is read
    expect((await read).map(([first]) => first)).toEqual([1, 2, 3]);
    expect(gpu.counters.submits - submits).toBe(1);
    expect((await other.toArray())[0]).toBe(9);
  });

  test("many results at once, small and large, mixes none of them up", async () => {
    using _all = openScope();
    const sizes = Array.from({ length: 24 }, (_, i) => 1 + ((i * 7919) % 3) * 20_000 + i);
    const read = await Promise.all(sizes.map((size) => mul(ones(gpu, [size]), size).toArray()));
    expect(read.map((values) => values.length)).toEqual(sizes);
    expect(read.map((values, i) => values.every((value) => value === sizes[i]))).toEqual(
      sizes.map(() => true),
    );
  });
});

describe("throttle", () => {
  test("submits, and waits for the step before the last ones", async () => {
    const device = await open({});
    using _all = openScope();
    const done: number[] = [];
    const real = device.gpu.queue.onSubmittedWorkDone.bind(device.gpu.queue);
    let marks = 0;
    device.gpu.queue.onSubmittedWorkDone = async () => {
      const mark = marks++;
      await real();
      done.push(mark);
      return undefined;
    };
    let x = zeros(device, [8]);
    for (let step = 0; step < 6; step++) {
      x = chain(x, 3);
      const { submits } = device.counters;
      await device.throttle();
      expect(device.counters.submits).toBe(submits + 1);
      if (step >= 2) expect(done).toContain(step - 2);
    }
    await device.throttle(0);
    expect(done).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect((await x.toArray())[0]).toBe(18);
  });

  test("on the CPU there is nothing to wait for", async () => {
    await expect(openCpu().throttle()).resolves.toBeUndefined();
  });
});

test("however many wait, there is one nap a turn, and none when nothing waits", async () => {
  const naps = vi.spyOn(Atomics, "wait");
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const finish: (() => void)[] = [];
  const waits = Array.from({ length: 5 }, () => settle(new Promise<void>((resolve) => finish.push(resolve))));
  await turn();
  naps.mockClear();
  for (let i = 0; i < 4; i++) await turn();
  expect(naps.mock.calls.length).toBeGreaterThanOrEqual(3);
  expect(naps.mock.calls.length).toBeLessThanOrEqual(5);
  for (const end of finish) end();
  await Promise.all(waits);
  await turn();
  naps.mockClear();
  for (let i = 0; i < 4; i++) await turn();
  expect(naps).not.toHaveBeenCalled();
});

test("uploads without end let Dawn give their memory back in between", async () => {
  const device = await open({});
  using _all = openScope();
  const submit = vi.spyOn(device.gpu.queue, "submit");
  const values = new Float32Array(2 ** 20); // 4 MiB
  const x = zeros(device, [values.length]);
  await x.toArray();
  submit.mockClear();
  for (let i = 0; i < 20; i++) device.upload(x.storage, values);
  expect(submit.mock.calls).toEqual([[[]], [[]]]);
});
