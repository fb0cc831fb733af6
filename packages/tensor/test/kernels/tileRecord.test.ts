import {
  compile,
  fromArray,
  type GpuDevice,
  matmul,
  products,
  scope,
  type Tensor,
  type TileChoice,
  type TileRecord,
  tuneTiles,
} from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { inputOf, testDevices } from "@graft/tensor/testing";
import { expect, test } from "vitest";
import type { GpuInfo } from "../../src/ops/kernel.ts";
import { tileClasses, tileRecord } from "../../src/ops/matmul/record.ts";
import { type Extent, tileFor, tilesFor } from "../../src/ops/matmul/tiles.ts";
import { best } from "../../src/ops/matmul/tune.ts";

const TIMEOUT = 120_000;
const { gpu } = await testDevices();

const NT = { a: "k", b: "k" } as const;
const recordOf = (...choices: TileChoice[]): TileRecord => ({ adapter: gpu.name, choices });

const extent: Extent = { m: 8, n: 256, k: 576, matrices: 1, alongA: "k", alongB: "k", packed: false };
/** An adapter on which every class can run, with and without a record. */
const software: GpuInfo = { ...gpu.info, subgroups: true, subgroupSize: 8, software: true, tiles: undefined };
const withRecord = (...choices: TileChoice[]): GpuInfo => ({ ...software, tiles: recordOf(...choices) });

test("a record's class comes before the table's, for products of its kind only", () => {
  expect(tilesFor(extent, software)).toEqual(["broadcast", "plain", "split", "workgroup"]);
  for (const tile of tileClasses) {
    const gpuInfo = withRecord({ ...NT, rows: "8", tile });
    expect(tilesFor(extent, gpuInfo)[0]).toBe(tile);
    expect(tileFor(extent, gpuInfo).name).toBe(tile);
    expect(tilesFor({ ...extent, m: 2 }, gpuInfo)[0]).toBe(tile);
    const others = [{ m: 1 }, { m: 9 }, { alongA: "lines" }, { alongB: "lines" }] as const;
    for (const other of others) expect(tilesFor({ ...extent, ...other }, gpuInfo)[0]).toBe("broadcast");
    // A class that is asked for comes before the record's.
    expect(tileFor(extent, gpuInfo, "plain").name).toBe("plain");
  }
});

test("what cannot take a product, or is not worth a pipeline, leaves it to the table", () => {
  const split = withRecord({ ...NT, rows: "many", tile: "split" });
  expect(tilesFor({ ...extent, m: 128 }, split)).toEqual(["broadcast", "plain", "workgroup"]);
  expect(tilesFor({ ...extent, m: 128, n: 8, k: 4096 }, split)[0]).toBe("split"); // made as rows
  const broadcast = withRecord({ ...NT, rows: "8", tile: "broadcast" });
  expect(tilesFor(extent, { ...broadcast, software: false })[0]).toBe("broadcast");
  expect(tilesFor(extent, { ...broadcast, software: false, subgroups: false })[0]).toBe("split");
  const small = { ...extent, n: 8, k: 8 };
  const workgroup = withRecord({ ...NT, rows: "8", tile: "workgroup" });
  expect(tilesFor(small, workgroup)[0]).toBe("plain");
  // One of many in a dispatch is not small.
  expect(tilesFor(small, workgroup, 2 ** 20)[0]).toBe("workgroup");
});

/** Keys of the kernels that `make` runs, and the values of what it makes. */
async function traced(device: GpuDevice, make: () => Tensor): Promise<{ keys: string[]; bytes: Buffer }> {
  const keys: string[] = [];
  device.watcher = {
    dispatched: ({ op, kernel }) => {
      keys.push(`${op} ${kernel.key}`);
      return {};
    },
    flushing: () => {},
  };
  const y = scope(make);
  device.watcher = undefined;
  const values = await y.toArray();
  y.dispose();
  return { keys, bytes: Buffer.from(Float32Array.from(values).buffer) };
}

const operands = [inputOf([8, 576], 1), inputOf([64, 576], 2)];
const given = (device: GpuDevice) => operands.map(({ values, shape }) => fromArray(device, values, shape));
const viaMatmul = (device: GpuDevice) => () => {
  const [a, b] = given(device);
  return matmul(a, b, { transposeB: true });
};
const viaProducts = (device: GpuDevice) => () => {
  const [a, b] = given(device);
  return products([{ terms: [[a, b]] }], { transposeB: true })[0];
};

test("a device follows the record that it was opened with, with the same bits each time", {
  timeout: TIMEOUT,
}, async () => {
  expect(gpu.info.tiles).toBeUndefined();
  const shipped = await traced(gpu, viaMatmul(gpu));
  // As from a file.
  const record: TileRecord = JSON.parse(JSON.stringify(recordOf({ ...NT, rows: "8", tile: "split" })));
  const devices = [await openWebGpu({ tiles: record }), await openWebGpu({ tiles: record })];
  (record.choices as TileChoice[]).pop(); // what was given is not looked at again
  try {
    for (const { info } of devices) expect(info.tiles).toEqual(recordOf({ ...NT, rows: "8", tile: "split" }));
    const [one, two] = await Promise.all(devices.map((device) => traced(device, viaMatmul(device))));
    expect(one.keys).toEqual([expect.stringMatching(/^matmul split/)]);
    expect(two.keys).toEqual(one.keys);
    expect(two.bytes.equals(one.bytes)).toBe(true);
    // The control: another class adds in another order.
    expect(shipped.keys).not.toEqual(one.keys);
    expect(shipped.bytes.equals(one.bytes)).toBe(false);
    // A step that was compiled, too.
    const [x, w] = given(devices[1]);
    const step = compile((left: Tensor, right: Tensor) => matmul(left, right, { transposeB: true }));
    await step.warmUp(x, w);
    const replayed = await traced(devices[1], () => step(x, w));
    expect(replayed.keys.filter((key) => key.startsWith("matmul"))).toEqual(one.keys);
    expect(replayed.bytes.equals(one.bytes)).toBe(true);
    const sums = await traced(devices[0], viaProducts(devices[0]));
    expect(sums.keys).toEqual([expect.stringMatching(/^products .*split/)]);
  } finally {
    for (const device of devices) device.close();
  }
});

test.each<[unknown, string]>([
  [
    null,
    "openWebGpu: tiles must be a record { adapter, choices: [...] }, got null. Make one with tuneTiles.",
  ],
  [
    { adapter: "X" },
    'openWebGpu: tiles must be a record { adapter, choices: [...] }, got {"adapter":"X"}. Make one with tuneTiles.',
  ],
  [
    { adapter: "X", choices: [] },
    `openWebGpu: tiles must be a record of the adapter "${gpu.name}", got one of "X". Make one here with tuneTiles, or leave tiles out.`,
  ],
  [
    { adapter: gpu.name, choices: [{ ...NT, rows: "8", tile: "huge" }] },
    'openWebGpu: tiles.choices[0].tile must be one of "plain", "broadcast", "workgroup", "split", got "huge". Make the record anew with tuneTiles.',
  ],
  [
    { adapter: gpu.name, choices: [{ ...NT, rows: 8, tile: "plain" }] },
    'openWebGpu: tiles.choices[0].rows must be one of "1", "8", "many", got 8. Make the record anew with tuneTiles.',
  ],
  [
    { adapter: gpu.name, choices: ["plain"] },
    'openWebGpu: tiles.choices[0].a must be one of "k", "lines", got undefined. Make the record anew with tuneTiles.',
  ],
  [
    recordOf({ ...NT, rows: "1", tile: "plain" }, { ...NT, rows: "1", tile: "split" }),
    "openWebGpu: tiles.choices[1] must be of a kind of its own, got a second one for a k, b k, rows 1. Leave one of them out.",
  ],
])("%j is refused", async (tiles, message) => {
  const opened = openWebGpu({ tiles: tiles as TileRecord }); // what a file may hold
  await expect(opened).rejects.toMatchObject({ name: "ValueError", message });
});

test("tuneTiles measures every kind of product, and changes nothing", { timeout: TIMEOUT }, async () => {
  const before = gpu.memory().liveBytes;
  const record = await tuneTiles(gpu, { columns: 48, steps: 48, rounds: 1, sampleMs: 0 });
  expect(gpu.memory().liveBytes).toBe(before);
  expect(gpu.info.tiles).toBeUndefined();
  expect(tileRecord("test", JSON.parse(JSON.stringify(record)), gpu.name)).toEqual(record);
  const kinds = ["kk", "klines", "lineslines"].flatMap((along) =>
    ["1", "8", "many"].map((rows) => along + rows),
  );
  expect(record.choices.map(({ a, b, rows }) => a + b + rows)).toEqual(
    kinds.filter((kind) => kind !== "lineslines1"),
  );
});

test("the table's class stays unless another one is clearly faster", () => {
  expect(best(["broadcast", "plain", "split"], [10, 9.8, 12])).toBe("broadcast");
  expect(best(["broadcast", "plain", "split"], [10, 9, 8])).toBe("split");
});

test("tuneTiles says what it cannot measure", async () => {
  await expect(tuneTiles(gpu, { rounds: 0 })).rejects.toThrow(
    "tuneTiles: rounds must be a positive integer, got 0.",
  );
  await expect(tuneTiles(gpu, { sampleMs: Number.NaN })).rejects.toThrow(
    "tuneTiles: sampleMs must be a number of milliseconds, got NaN.",
  );
});
