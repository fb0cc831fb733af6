import { type DType, fromArray, type GpuDevice, scope, type Tensor } from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { apply } from "@graft/tensor/op";
import { assertWithin, FLOOR, HALF_ULP, inputOf, randomOf, testDevices, viewOf } from "@graft/tensor/testing";
import * as fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { matmulBy } from "../../src/ops/matmul/matmul.ts";
import { type MatmulAttrs, planMatmul } from "../../src/ops/matmul/plan.ts";
import { matmulReference } from "../../src/ops/matmul/reference.ts";
import { extentOf, type TileClass, tileFor, tilesFor } from "../../src/ops/matmul/tiles.ts";
import { type Shape, sizeOf } from "../../src/shape.ts";
import { validateWgsl } from "../../test-support/wgsl.ts";
import { RaceDevice } from "./raceDevice.ts";

const tiles: readonly TileClass[] = ["plain", "broadcast", "workgroup", "split"];
const TIMEOUT = 240_000;

const { gpu, shaders } = await testDevices();
const bare = await openWebGpu({ features: [], limits: "default" });
afterAll(() => bare.close());

interface Case extends MatmulAttrs {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly batchA?: readonly number[];
  readonly batchB?: readonly number[];
  /** Elements before the operands in their storages. */
  readonly offsets?: readonly [number, number];
  readonly dtypes?: readonly [DType, DType];
  readonly seed?: number;
}

/** Checks every class of kernels on a device against the sums in float64, and that it gives the same bits twice. */
async function check(device: GpuDevice, given: Case, spoil = (_: Float32Array) => {}): Promise<void> {
  const { m, n, k, batchA = [], batchB = [], offsets = [0, 0], dtypes = ["f32", "f32"], seed = 1 } = given;
  const shapeA = [...batchA, ...(given.transposeA ? [k, m] : [m, k])];
  const shapeB = [...batchB, ...(given.transposeB ? [n, k] : [k, n])];
  const plan = planMatmul({ shape: shapeA, dtype: "f32" }, { shape: shapeB, dtype: "f32" }, given);
  const shape = [...plan.batchShape, m, n];
  const a = exactly(shapeA, dtypes[0], seed);
  const b = exactly(shapeB, dtypes[1], seed + 1);
  const exact = new Float64Array(sizeOf(shape));
  const magnitude = new Float64Array(sizeOf(shape));
  matmulReference(plan, a, b, exact);
  matmulReference(plan, a.map(Math.abs), b.map(Math.abs), magnitude);
  for (const tile of tiles) {
    if (tile === "broadcast" && device === bare) continue;
    const run = () =>
      valuesOf(() => {
        const left = placed(device, a, shapeA, dtypes[0], offsets[0]);
        const right = placed(device, b, shapeB, dtypes[1], offsets[1]);
        return apply(matmulBy(tile), [left, right], given)[0];
      });
    const [got, again] = await Promise.all([run(), run()]);
    expect(Buffer.from(again.buffer).equals(Buffer.from(got.buffer))).toBe(true);
    spoil(got);
    assertWithin({
      label: `${tile} on ${device.name}, ${JSON.stringify(given)}`,
      shape,
      got,
      want: exact,
      budget: (i) => (k + 1) * HALF_ULP * magnitude[i] + FLOOR,
    });
  }
}

async function valuesOf(make: () => Tensor): Promise<Float32Array> {
  const result = scope(make);
  const values = await result.toArray();
  result.dispose();
  return Float32Array.from(values);
}

/** Values that every float type here holds exactly: eighths of small integers. */
function exactly(shape: Shape, dtype: DType, seed: number): Float32Array {
  const random = randomOf(seed);
  const value = dtype === "f32" ? () => 2 * random() - 1 : () => Math.round(30 * random() - 15) / 8;
  return Float32Array.from({ length: sizeOf(shape) }, value);
}

/** A tensor that begins `offset` elements into its storage, between values that would be seen in any sum. */
function placed(device: GpuDevice, values: Float32Array, shape: Shape, dtype: DType, offset: number): Tensor {
  const around = new Float32Array(offset + values.length + 5).fill(2 ** 15);
  around.set(values, offset);
  return viewOf(fromArray(device, around, [around.length], { dtype }), offset, shape);
}

const layouts = { transposeA: fc.boolean(), transposeB: fc.boolean() };
const batches = fc.constantFrom<[number[], number[]]>([[], []], [[3], [3]], [[2], [1]]);

const cases = fc
  .record({
    // Sizes and offsets that let a load take four values, and all others.
    four: fc.boolean(),
    // Up to 8, for the kernels of more rows take seconds to compile; the examples below have more.
    m: fc.integer({ min: 1, max: 8 }),
    n: fc.integer({ min: 1, max: 80 }),
    k: fc.integer({ min: 1, max: 70 }),
    offset: fc.nat(5),
    batches,
    seed: fc.nat(),
    ...layouts,
  })
  .map(({ four, batches: [batchA, batchB], offset, ...rest }): Case => {
    const fit = (size: number) => (four ? Math.ceil(size / 4) * 4 : size);
    const m = rest.transposeA ? fit(rest.m) : rest.m;
    return {
      ...rest,
      m,
      n: fit(rest.n),
      k: fit(rest.k),
      batchA,
      batchB,
      offsets: [fit(offset), fit(offset)],
    };
  });

test.each([
  ["with the adapter's features", gpu],
  ["without any", bare],
])("every class of kernels gives what float64 gives, %s", { timeout: TIMEOUT }, async (_, device) => {
  await fc.assert(fc.asyncProperty(cases, (given) => check(device, given)));
});

const NT = { transposeA: false, transposeB: true };
const NN = { transposeA: false, transposeB: false };
const TN = { transposeA: true, transposeB: false };

test.each<[string, Case]>([
  ["tiles of both sizes, NT", { m: 516, n: 500, k: 20, ...NT }],
  ["tiles of both sizes, NN", { m: 516, n: 500, k: 20, ...NN }],
  ["tiles of both sizes, TN", { m: 516, n: 500, k: 21, ...TN }],
  ["two batch axes, each broadcast once", { m: 9, n: 12, k: 8, batchA: [2, 1], batchB: [1, 3], ...NN }],
  ["f16 weights", { m: 10, n: 36, k: 24, dtypes: ["f32", "f16"], ...NT }],
  [
    "bf16 weights that begin in the middle of a word",
    { m: 10, n: 36, k: 24, dtypes: ["f32", "bf16"], offsets: [0, 3], ...NN },
  ],
  ["f16 on both sides", { m: 7, n: 9, k: 10, dtypes: ["f16", "f16"], ...TN }],
  ["one token", { m: 1, n: 70, k: 576, ...NT }],
  ["no steps", { m: 10, n: 9, k: 0, ...NT }],
])("%s", { timeout: TIMEOUT }, async (_, given) => {
  for (const device of [gpu, bare]) await check(device, given);
});

test("the table chooses by what the adapter says of itself and by shape", () => {
  const adapters = {
    lavapipe: { subgroups: true, subgroupSize: 8, software: true },
    swiftshader: { subgroups: true, subgroupSize: 4, software: true },
    bareSoftware: { subgroups: false, subgroupSize: 0, software: true },
    gpu: { subgroups: true, subgroupSize: 32, software: false },
    narrowGpu: { subgroups: true, subgroupSize: 8, software: false },
    bareGpu: { subgroups: false, subgroupSize: 0, software: false },
  };
  const chosen = (m: number, n: number, k: number, attrs: MatmulAttrs) => {
    const shapes = [attrs.transposeA ? [k, m] : [m, k], attrs.transposeB ? [n, k] : [k, n]];
    const [a, b] = shapes.map((shape) => ({ shape, dtype: "f32" as const }));
    const plan = planMatmul(a, b, attrs);
    return Object.values(adapters).map((info) => tilesFor(extentOf(plan), { ...gpu.info, ...info })[0]);
  };
  const [cpu, none, real] = ["broadcast", "plain", "workgroup"];
  expect(chosen(128, 576, 576, NT)).toEqual([cpu, cpu, none, real, real, real]);
  expect(chosen(576, 576, 127, TN)).toEqual([cpu, cpu, none, real, real, real]);
  expect(chosen(1, 576, 576, NT)).toEqual([cpu, cpu, none, "split", "split", "split"]);
  expect(chosen(8, 576, 576, NN)).toEqual([cpu, cpu, none, real, real, real]);
  expect(chosen(8, 16, 16, NT)).toEqual(new Array(6).fill(none));
  expect(bare.info).toMatchObject({ subgroups: false, subgroupSize: 0 });
});

test("a text of another length takes the same tiles", () => {
  const adapters = [
    { subgroups: true, subgroupSize: 8, software: true },
    { subgroups: false, subgroupSize: 0, software: true },
    { subgroups: true, subgroupSize: 32, software: false },
  ];
  for (const adapter of adapters)
    for (const attrs of [NT, NN, TN])
      for (const [one, other] of [
        [576, 192],
        [1536, 8],
        [8, 1536],
        [48, 8],
        [49152, 576],
      ]) {
        const forms = [17, 24, 128, 513, 4000].map((length) => {
          const [m, n, k] = attrs.transposeA ? [one, other, length] : [length, one, other];
          const shapes = [attrs.transposeA ? [k, m] : [m, k], attrs.transposeB ? [n, k] : [k, n]];
          const [a, b] = shapes.map((shape) => ({ shape, dtype: "f32" as const }));
          const extent = extentOf(planMatmul(a, b, attrs));
          const info = { ...gpu.info, ...adapter };
          const tile = tileFor(extent, info);
          return { name: tile.name, swaps: tile.swaps(extent), form: tile.form([extent], info) };
        });
        for (const form of forms) expect(form).toEqual(forms[0]);
      }
});

test("the budget notices one value that is off by a few roundings", async () => {
  const spoil = (y: Float32Array) => {
    y[y.length - 1] += 1e-4;
  };
  await expect(check(gpu, { m: 20, n: 32, k: 40, ...NT }, spoil)).rejects.toThrow(/plain on .*off by/);
});

test("infinities beside a product do not come in", async () => {
  // Steps of four reach beyond k = 5 and tiles beyond the edges: into the next matrix of the batch.
  for (const attrs of [NT, NN, TN]) {
    for (const tile of tiles) {
      const shapeA = attrs.transposeA ? [2, 5, 8] : [2, 8, 5];
      const a = new Float32Array(80).fill(1).fill(Infinity, 40);
      const b = new Float32Array(80).fill(1).fill(Infinity, 40);
      const shapeB = attrs.transposeB ? [2, 8, 5] : [2, 5, 8];
      const y = await valuesOf(
        () => apply(matmulBy(tile), [fromArray(gpu, a, shapeA), fromArray(gpu, b, shapeB)], attrs)[0],
      );
      expect([...y].slice(0, 64)).toEqual(new Array(64).fill(5));
    }
  }
});

test("the compiler has no remark on any of these kernels", async () => {
  const own = [...shaders].filter(([, op]) => op === "matmul");
  expect(own.length).toBeGreaterThan(tiles.length);
  const remarks = await Promise.all(own.map(([code]) => validateWgsl(gpu.gpu, code)));
  expect(remarks.flat()).toEqual([]);
});

test(
  "no class has a race inside a workgroup",
  () => {
    const device = new RaceDevice({ kernels: "reference" });
    for (const attrs of [NT, NN, TN]) {
      for (const tile of tiles) {
        for (const [m, n, k] of [
          [4, 12, 20],
          [8, 4, 9],
        ]) {
          const a = inputOf(attrs.transposeA ? [k, m] : [m, k], 1);
          const b = inputOf(attrs.transposeB ? [n, k] : [k, n], 2);
          const inputs = [a, b].map(({ values, shape }) => fromArray(device, values, shape));
          apply(matmulBy(tile), inputs, attrs);
        }
      }
    }
    expect(device.races).toEqual([]);
    expect(device.refused).toEqual([]);
    const seen = [...device.seen.keys()].join();
    expect(seen).toMatch(/workgroup.*split|split.*workgroup/);
  },
  TIMEOUT,
);
