import {
  addInto,
  cast,
  concat,
  copyInto,
  type Device,
  exp,
  expand,
  flip,
  fromArray,
  grad,
  keep,
  matmul,
  mul,
  mulInto,
  noGrad,
  OutOfMemoryError,
  ones,
  openCpu,
  openScope,
  prod,
  reshape,
  roll,
  scope,
  slice,
  sum,
  type Tensor,
  zeros,
} from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { assertSameMemory, testDevices } from "@graft/tensor/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const { cpu, reference, gpu } = await testDevices();

/** Bytes of a tensor of 1000 f32: a GPU buffer is rounded up so that it can be used again. */
const bytes = (device: Device): number => (device.kind === "cpu" ? 4000 : 4096);

describe.each([reference, cpu, gpu] as Device[])("on $name", (device) => {
  let start = device.memory();
  beforeEach(() => {
    start = device.memory();
  });
  afterEach(() => assertSameMemory(device, start, "after the test"));
  const live = (): number => device.memory().liveBuffers - start.liveBuffers;
  const made = (requiresGrad = false): Tensor => zeros(device, [1000], { requiresGrad });

  test("memory counts what is alive, and the peak", () => {
    const a = made();
    expect(device.memory().liveBytes - start.liveBytes).toBe(bytes(device));
    const b = made();
    expect(live()).toBe(2);
    expect(device.memory().peakBytes).toBeGreaterThanOrEqual(start.liveBytes + 2 * bytes(device));
    a.dispose();
    b.dispose();
    b.dispose();
  });

  test("views share one storage until the last is gone", async () => {
    const a = fromArray(device, [1, 2, 3, 4], [4]);
    const view = reshape(a, [2, 2]);
    expect(live()).toBe(1);
    a.dispose();
    expect(live()).toBe(1);
    expect([...(await view.toArray())]).toEqual([1, 2, 3, 4]);
    view.dispose();
  });

  test.each<[string, (x: Tensor) => Tensor]>([
    ["reshape", (x) => reshape(x, [1, 3])],
    ["expand", (x) => expand(x, [1, 3])],
    ["cast", (x) => cast(x, "f32")],
    ["slice", (x) => slice(x, 1)],
    ["flip", (x) => flip(x, [])],
    ["roll", (x) => roll(x, 3, 1)],
    ["concat", (x) => concat([x])],
  ])("%s that changes nothing gives a handle of its own", async (name, op) => {
    const x = fromArray(device, [1, 2, 3], [1, 3], { requiresGrad: true });
    op(x).dispose();
    expect([...(await x.toArray())]).toEqual([1, 2, 3]);
    scope(() => sum(mul(op(x), op(x))).backward());
    expect([...((await x.grad?.toArray()) ?? [])]).toEqual([2, 4, 6]);
    const y = op(x);
    expect(y.requiresGrad).toBe(true);
    expect(live()).toBe(2); // x and its gradient
    x.grad?.dispose();
    x.dispose();
    expect([...(await y.toArray())]).toEqual([1, 2, 3]);
    y.dispose();
    expect(() => op(x)).toThrow(`${name}: a tensor [1, 3] was disposed`);
  });

  test("a change in place leaves nothing behind, also without a scope", () => {
    using x = made();
    using half = zeros(device, [1000], { dtype: "f16" });
    const before = device.memory().liveBuffers;
    copyInto(half, x);
    addInto(half, x, 0.5);
    copyInto(x, half);
    copyInto(x, x);
    mulInto(x, 2);
    expect(device.memory().liveBuffers).toBe(before);
  });

  test("ops that compose others leave no handle where an inner one changes nothing", () => {
    const x = made();
    const target = made();
    copyInto(target, x);
    for (const y of [sum(x, 0, { keepDim: true }), prod(x), prod(x, [])]) y.dispose();
    x.dispose();
    target.dispose();
    expect(live()).toBe(0);
  });

  test("a scope frees what it does not return", () => {
    const { result, list } = scope(() => {
      exp(made());
      return { result: made(), list: [made(), new Map([["x", made()]]), new Set([made()])], text: "x" };
    });
    expect(live()).toBe(4);
    scope(() => expect(live()).toBe(4));
    result.dispose();
    for (const item of list) {
      if (item instanceof Map || item instanceof Set) for (const inner of item.values()) inner.dispose();
      else item.dispose();
    }
  });

  test("scopes nest: what the inner returns belongs to the outer", () => {
    scope(() => {
      scope(() => [made(), made()]);
      expect(live()).toBe(2);
    });
    expect(live()).toBe(0);
  });

  test("a scope that throws frees everything", () => {
    expect(() =>
      scope(() => {
        made();
        throw new Error("inside");
      }),
    ).toThrow("inside");
  });

  test("keep takes a tensor out of all scopes, with its record", async () => {
    const x = ones(device, [2], { requiresGrad: true });
    let loss: Tensor | undefined;
    scope(() => {
      scope(() => {
        loss = keep(sum(mul(x, x)));
      });
    });
    loss?.backward();
    expect([...((await x.grad?.toArray()) ?? [])]).toEqual([2, 2]);
    for (const tensor of [x, x.grad, loss]) tensor?.dispose();
  });

  test("an open scope lives across awaits, and ends out of order", async () => {
    const outer = openScope();
    const a = made();
    const inner = openScope();
    const b = made();
    await b.toArray();
    outer[Symbol.dispose]();
    expect([a.disposed, b.disposed]).toEqual([true, false]);
    inner[Symbol.dispose]();
    inner[Symbol.dispose]();
    expect(b.disposed).toBe(true);
  });

  test("Symbol.dispose disposes", () => {
    const a = made();
    a[Symbol.dispose]();
    expect(a.disposed).toBe(true);
  });

  test("backward frees what the record held", () => {
    const x = made(true);
    const loss = scope(() => sum(exp(exp(exp(x)))));
    expect(live()).toBe(4); // x and two results of exp, which the gradients of exp read, and the loss
    loss.backward();
    expect(live()).toBe(3); // x, its gradient, the loss
    for (const tensor of [x, x.grad, loss]) tensor?.dispose();
  });

  test("a record that is dropped with its scope is freed", () => {
    const x = made(true);
    scope(() => {
      sum(exp(exp(x)));
    });
    expect(live()).toBe(1);
    x.dispose();
  });

  test("only what a gradient reads is saved", () => {
    const x = made(true);
    const loss = scope(() => sum(x.add(made()).mul(2).sub(made())));
    expect(live()).toBe(2); // sums and constant factors save nothing
    loss.dispose();
    x.dispose();
  });

  test("noGrad saves nothing", () => {
    const x = made(true);
    const y = noGrad(() => scope(() => sum(exp(exp(x)))));
    expect(live()).toBe(2);
    x.dispose();
    y.dispose();
  });

  test("sums of gradients are freed as they are formed", () => {
    const x = made(true);
    const loss = scope(() => {
      let y = x;
      for (let i = 0; i < 8; i++) y = y.add(x);
      return sum(y);
    });
    const before = device.memory().liveBytes;
    const peak = peakDuring(device, () => loss.backward());
    expect(peak - before).toBeLessThanOrEqual(5 * bytes(device));
    for (const tensor of [x, x.grad, loss]) tensor?.dispose();
  });

  test("a gradient of a gradient leaves nothing in its scope", () => {
    const x = made(true);
    scope(() => {
      const [dx] = grad(sum(exp(x)), [x], { createGraph: true });
      grad(sum(mul(dx, dx)), [x]);
    });
    expect(live()).toBe(1);
    x.dispose();
  });
});

/** The most bytes that were alive while `fn` ran, by counting at each allocation. */
function peakDuring(device: Device, fn: () => void): number {
  let peak = 0;
  const allocate = device.allocate.bind(device);
  device.allocate = (dtype, size) => {
    const storage = allocate(dtype, size);
    peak = Math.max(peak, device.memory().liveBytes);
    return storage;
  };
  try {
    fn();
  } finally {
    device.allocate = allocate;
  }
  return peak;
}

describe("a budget", () => {
  test("on the CPU is a typed error that says how much", () => {
    const small = openCpu({ maxBytes: 10_000 });
    const a = zeros(small, [1000]);
    zeros(small, [1000]);
    expect(() => zeros(small, [1000])).toThrow(OutOfMemoryError);
    expect(() => zeros(small, [1000])).toThrow(
      "cpu: 4000 bytes do not fit: 8000 of 10000 are in use. Use a smaller batch or a shorter sequence.",
    );
    a.dispose();
    expect(zeros(small, [1000]).size).toBe(1000);
  });

  test("on the GPU is a typed error, and freed buffers of other sizes make room", async () => {
    const small = await openWebGpu({ maxBytes: 10_000 });
    const a = ones(small, [1000]);
    const b = exp(a);
    expect(() => zeros(small, [1000])).toThrow(OutOfMemoryError);
    expect(() => zeros(small, [1000])).toThrow(
      "webgpu: 4000 bytes do not fit: 8192 of 10000 are in use. Use a smaller batch or a shorter sequence.",
    );
    a.dispose(); // recorded work still reads it when its buffer is destroyed to make room
    const c = ones(small, [500]);
    expect((await b.toArray())[999]).toBeCloseTo(Math.E, 5);
    expect((await c.toArray())[499]).toBe(1);
    expect(small.memory().pooledBytes).toBe(0);
    small.close();
  });

  test("a tensor beyond the largest buffer is refused before anything runs", () => {
    const most = gpu.gpu.limits.maxBufferSize;
    const size = Math.floor(most / 4) + 1024;
    expect(() => gpu.allocate("f32", size)).toThrow(OutOfMemoryError);
    expect(() => gpu.allocate("f32", size)).toThrow(
      /^webgpu: one tensor of \d+ bytes does not fit, a buffer of the device holds at most \d+\./,
    );
  });
});

describe("counters", () => {
  test("count dispatches, read-backs and buffers; freed buffers and pipelines are used again", async () => {
    const step = async (): Promise<void> => {
      const owner = openScope();
      const a = ones(gpu, [12, 5]);
      await matmul(exp(a), ones(gpu, [5, 7])).toArray();
      owner[Symbol.dispose]();
    };
    await step();
    const before = { ...gpu.counters };
    await step();
    const { dispatches, readBacks, buffersCreated, pipelinesCreated, submits } = gpu.counters;
    expect(dispatches - before.dispatches).toBe(4);
    expect(readBacks - before.readBacks).toBe(1);
    expect(submits - before.submits).toBe(1);
    expect(buffersCreated - before.buffersCreated).toBe(0);
    expect(pipelinesCreated - before.pipelinesCreated).toBe(0);
  });

  test("a pipeline serves every size", async () => {
    const owner = openScope();
    await exp(ones(gpu, [3, 4])).toArray();
    const { pipelinesCreated } = gpu.counters;
    await exp(ones(gpu, [7, 2, 9])).toArray();
    expect(gpu.counters.pipelinesCreated).toBe(pipelinesCreated);
    owner[Symbol.dispose]();
  });

  test("hundreds of ops are submitted in parts, and each gets its own params", async () => {
    const owner = openScope();
    let x = zeros(gpu, [3]);
    for (let i = 1; i <= 400; i++) x = x.add(i);
    expect([...(await x.toArray())]).toEqual([80200, 80200, 80200]);
    owner[Symbol.dispose]();
  });

  test("more workgroups than one axis of the grid has", async () => {
    const owner = openScope();
    const size = 65_535 * 64 + 130;
    const x = ones(gpu, [size]).add(2);
    const total = sum(x);
    const tail = await reshape(x, [size]).toArray();
    expect([tail[0], tail[65_535 * 64], tail[size - 1]]).toEqual([3, 3, 3]);
    expect(await total.item()).toBe(3 * size);
    owner[Symbol.dispose]();
  });

  test("an upload does not overtake recorded work that uses the buffer's former life", async () => {
    const owner = openScope();
    const a = fromArray(gpu, [1, 2, 3], [3]);
    const b = a.mul(10);
    a.dispose();
    const c = fromArray(gpu, [7, 8, 9], [3]);
    expect([...(await b.toArray())]).toEqual([10, 20, 30]);
    expect([...(await c.toArray())]).toEqual([7, 8, 9]);
    owner[Symbol.dispose]();
  });
});
