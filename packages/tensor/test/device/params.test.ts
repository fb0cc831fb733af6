import { add, type GpuDevice, ones, openScope, scope } from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { apply, type Kernel, type Op } from "@graft/tensor/op";
import { testDevices } from "@graft/tensor/testing";
import { afterAll, describe, expect, test } from "vitest";
import { LoweredKernel } from "../../src/device/webgpu/replay.ts";

const { gpu } = await testDevices();
const plain = await openWebGpu({ immediates: false });
afterAll(() => plain.close());

/** y = the sum of `count` params of every type, some negative, one of them asked each time. */
function sumOfParams(count: number, live: () => number): Op<null> {
  const kernel = (y: Kernel["bindings"][number]["view"]): Kernel => ({
    key: `${count}`,
    over: "element",
    count: 3,
    bindings: [{ name: "y", view: y, access: "write" }],
    params: Array.from({ length: count }, (_, i) => {
      if (i === 0) return ["p0", "f32", live] as const;
      return i % 2 === 0 ? ([`p${i}`, "i32", -i] as const) : ([`p${i}`, "u32", i] as const);
    }),
    main: () =>
      `y_put(i, P.p0${Array.from({ length: count - 1 }, (_, i) => ` + f32(P.p${i + 1})`).join("")});`,
  });
  return {
    name: `sumOf${count}Params`,
    infer: ([x]) => [x],
    wgsl: (_, [y]) => [kernel(y)],
    gradient: "none: it reads params only",
  };
}

async function run(device: GpuDevice, count: number): Promise<number[]> {
  using _all = openScope();
  let value = 0.5;
  const op = sumOfParams(count, () => value);
  const x = ones(device, [3]);
  const results = [];
  for (value of [0.5, 1.5]) results.push(apply(op, [x], null)[0]);
  return [(await results[0].toArray())[2], (await results[1].toArray())[2]];
}

const expected = (count: number): number[] => {
  const rest = Array.from({ length: count - 1 }, (_, i) => (i % 2 === 0 ? i + 1 : -i - 1));
  const sum = rest.reduce((a, b) => a + b, 0);
  return [0.5 + sum, 1.5 + sum];
};

describe.each([
  ["immediates", gpu],
  ["a uniform buffer", plain],
])("params through %s", (_, device) => {
  // One offset and the count come first: 14 make 16 words, what immediates hold; 62 make 64, what a slot holds.
  test.each([1, 2, 14, 15, 62])("%i of them arrive, and functions are asked each time", async (count) => {
    expect(await run(device, count)).toEqual(expected(count));
  });

  test("more than a slot holds is an internal error", async () => {
    await expect(run(device, 63)).rejects.toThrow(/^internal: sumOf63Params has 65 params, at most 64 fit/);
  });
});

test("at most 16 words go as immediates, and none where they are switched off", () => {
  using _all = openScope();
  const modes = [gpu, plain].map((device) => {
    const y = ones(device, [3]);
    return [14, 15].map((count) => {
      const [kernel] = sumOfParams(count, () => 0).wgsl?.([y], [y], null, device.info) ?? [];
      return device.prepare("p", kernel).mode;
    });
  });
  expect(modes).toEqual([
    ["immediate", "uniform"],
    ["uniform", "uniform"],
  ]);
});

test("a prepared dispatch can be encoded again after its functions changed", async () => {
  using _all = openScope();
  for (const device of [gpu, plain]) {
    const y = ones(device, [3]);
    let value = 2;
    const [kernel] = sumOfParams(1, () => value).wgsl?.([y], [y], null, device.info) ?? [];
    const dispatch = device.prepare("again", kernel);
    expect(dispatch.live).toBe(true);
    value = 7;
    dispatch.refresh();
    // UNIFORM | COPY_DST
    const slot = device.gpu.createBuffer({ size: 256, usage: 0x40 | 0x08 });
    device.gpu.queue.writeBuffer(slot, 0, dispatch.words);
    const group = device.bindGroup(dispatch);
    if (dispatch.mode === "immediate") dispatch.encode(device.pass(dispatch), group);
    else dispatch.encode(device.pass(dispatch), group, device.slotGroup(slot), 0);
    device.countDispatch();
    expect([...(await y.toArray())]).toEqual([7, 7, 7]);
    slot.destroy();
  }
});

test("warm makes every pipeline once, and the op that follows makes none and gives the same", async () => {
  using _all = openScope();
  for (const options of [{}, { immediates: false }]) {
    const device = await openWebGpu(options);
    const y = ones(device, [3]);
    const kernels = [1, 2, 15].map((count) => {
      const op = sumOfParams(count, () => 0.5);
      return new LoweredKernel(op.name, (op.wgsl?.([y], [y], null, device.info) ?? [])[0]);
    });
    const { pipelinesCreated, dispatches } = device.counters;
    await device.warm([...kernels, ...kernels]);
    await device.warm(kernels);
    expect(device.counters.pipelinesCreated - pipelinesCreated).toBe(3);
    expect(device.counters.dispatches).toBe(dispatches);
    expect(await run(device, 15)).toEqual(expected(15));
    expect(device.counters.pipelinesCreated - pipelinesCreated).toBe(3);
    expect([...(await scope(() => add(y, y)).toArray())]).toEqual([2, 2, 2]);
    device.close();
  }
});
