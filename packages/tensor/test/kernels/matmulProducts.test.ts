import { abs, add, fromArray, type GpuDevice, matmul, openScope, products, type Tensor } from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { apply, type ProductMember, type ProductsAttrs, productsBy, productsOp } from "@graft/tensor/op";
import { assertWithin, FLOOR, HALF_ULP, randomOf, testDevices, viewOf } from "@graft/tensor/testing";
import * as fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import type { DType } from "../../src/dtype.ts";
import type { TileClass } from "../../src/ops/matmul/tiles.ts";
import { validateWgsl } from "../../test-support/wgsl.ts";
import { RaceDevice } from "./raceDevice.ts";

const tiles: readonly TileClass[] = ["plain", "broadcast", "workgroup", "split"];
const TIMEOUT = 240_000;

const { gpu, shaders } = await testDevices();
const bare = await openWebGpu({ features: [], limits: "default" });
afterAll(() => bare.close());

const NT = { transposeA: false, transposeB: true };
const NN = { transposeA: false, transposeB: false };
const TN = { transposeA: true, transposeB: false };

interface SumCase {
  readonly m: number;
  readonly n: number;
  readonly ks: readonly number[];
  readonly bias?: boolean;
  readonly residual?: boolean;
  readonly scale?: number;
}

interface Case {
  readonly sums: readonly SumCase[];
  readonly layout: { readonly transposeA: boolean; readonly transposeB: boolean };
  /** What stands in the same place of each sum lies in one buffer; else every input has its own. */
  readonly together: boolean;
  /** Values before each input in its buffer. */
  readonly offset?: number;
  readonly dtypeB?: DType;
  readonly seed?: number;
}

interface Placed {
  readonly shape: readonly number[];
  readonly group: string;
  readonly dtype: DType;
}

interface Laid {
  readonly inputs: readonly Placed[];
  readonly members: readonly ProductMember[];
}

/** Numbers the inputs of the sums. */
function lay({ sums, layout: { transposeA, transposeB }, dtypeB = "f32" }: Case): Laid {
  const inputs: Placed[] = [];
  const place = (shape: readonly number[], group: string, dtype: DType = "f32") =>
    inputs.push({ shape, group, dtype }) - 1;
  const members = sums.map(({ m, n, ks, bias, residual, scale = 1 }) => ({
    terms: ks.map((k, t) => ({
      a: place(transposeA ? [k, m] : [m, k], `a${t}`),
      b: place(transposeB ? [n, k] : [k, n], `b${t}`, dtypeB),
    })),
    scale,
    bias: bias ? place([n], "bias") : undefined,
    residual: residual ? place([m, n], "residual") : undefined,
  }));
  return { inputs, members };
}

const sizeOf = (shape: readonly number[]) => shape.reduce((all, dim) => all * dim, 1);

/** The inputs on a device, and the values that they hold. */
function make(
  device: GpuDevice,
  given: Case,
  { inputs }: Laid,
): { tensors: Tensor[]; values: Float32Array[] } {
  const { together, offset = 0, seed = 1 } = given;
  const random = randomOf(seed);
  const values = inputs.map(({ shape, dtype }) =>
    Float32Array.from({ length: sizeOf(shape) }, () =>
      // 16-bit types hold eighths of small integers exactly.
      dtype === "f32" ? 2 * random() - 1 : Math.round(30 * random() - 15) / 8,
    ),
  );
  const groups = new Map<string, number[]>();
  inputs.forEach(({ group }, i) => {
    const key = together ? group : `${i}`;
    groups.set(key, [...(groups.get(key) ?? []), i]);
  });
  const tensors: Tensor[] = [];
  for (const members of groups.values()) {
    // What lies between the inputs would be seen in any sum.
    const starts: number[] = [];
    let end = 0;
    for (const i of members) {
      starts.push(end + offset);
      end += offset + values[i].length;
    }
    const all = new Float32Array(end + 5).fill(2 ** 15);
    members.forEach((i, j) => {
      all.set(values[i], starts[j]);
    });
    const buffer = fromArray(device, all, [all.length], { dtype: inputs[members[0]].dtype });
    members.forEach((i, j) => {
      tensors[i] = viewOf(buffer, starts[j], inputs[i].shape);
    });
  }
  return { tensors, values };
}

/** Every output in float64, and the sum of magnitudes behind it. */
function exact({ sums, layout }: Case, { members }: Laid, values: readonly Float32Array[]) {
  return sums.map(({ m, n, ks }, s) => {
    const want = new Float64Array(m * n);
    const magnitude = new Float64Array(m * n);
    const { terms, scale, bias, residual } = members[s];
    terms.forEach(({ a, b }, t) => {
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++)
          for (let p = 0; p < ks[t]; p++) {
            const left = values[a][layout.transposeA ? p * m + i : i * ks[t] + p];
            const right = values[b][layout.transposeB ? j * ks[t] + p : p * n + j];
            want[i * n + j] += left * right;
            magnitude[i * n + j] += Math.abs(left * right);
          }
    });
    for (let at = 0; at < m * n; at++) {
      const more = [
        bias === undefined ? 0 : values[bias][at % n],
        residual === undefined ? 0 : values[residual][at],
      ];
      want[at] = want[at] * scale + more[0] + more[1];
      magnitude[at] = magnitude[at] * Math.abs(scale) + Math.abs(more[0]) + Math.abs(more[1]);
    }
    // One rounding for each step, each product's place among the others, scale, both addends and the store.
    const roundings = ks.reduce((all, k) => all + k + 1, 4);
    return { want, magnitude, roundings };
  });
}

/** Checks classes of kernels on a device against the sums in float64, and that they give the same bits twice. */
async function check(
  device: GpuDevice,
  given: Case,
  classes: readonly (TileClass | undefined)[] = [undefined],
  spoil = (_: Float32Array) => {},
): Promise<void> {
  const laid = lay(given);
  const attrs: ProductsAttrs = { members: laid.members, ...given.layout };
  for (const tile of classes) {
    if (tile === "broadcast" && device === bare) continue;
    const owner = openScope();
    const { tensors, values } = make(device, given, laid);
    const op = tile === undefined ? productsOp : productsBy(tile);
    const outputs = [apply(op, tensors, attrs), apply(op, tensors, attrs)];
    const [got, again] = await Promise.all(
      outputs.map((list) => Promise.all(list.map(async (y) => Float32Array.from(await y.toArray())))),
    );
    owner[Symbol.dispose]();
    exact(given, laid, values).forEach(({ want, magnitude, roundings }, s) => {
      expect(Buffer.from(again[s].buffer).equals(Buffer.from(got[s].buffer))).toBe(true);
      spoil(got[s]);
      assertWithin({
        label: `${tile ?? "chosen"} on ${device.name}, sum ${s} of ${JSON.stringify(given)}`,
        shape: [given.sums[s].m, given.sums[s].n],
        got: got[s],
        want,
        budget: (i) => roundings * HALF_ULP * magnitude[i] + FLOOR,
      });
    });
  }
}

const size = (most: number) => fc.oneof(fc.integer({ min: 1, max: most }), fc.constantFrom(4, 8, 16, 20));

const cases = fc.record({
  sums: fc.array(
    fc.record({
      // Up to 8, for the kernels of more rows take seconds to compile; the examples below have more.
      m: fc.integer({ min: 1, max: 8 }),
      n: size(40),
      ks: fc.array(fc.oneof(size(30), fc.constant(0)), { minLength: 1, maxLength: 4 }),
      bias: fc.boolean(),
      residual: fc.boolean(),
      scale: fc.constantFrom(1, 0.3, -2),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  layout: fc.constantFrom(NT, NN, TN, { transposeA: true, transposeB: true }),
  together: fc.boolean(),
  offset: fc.constantFrom(0, 0, 4, 3),
  dtypeB: fc.constantFrom<DType>("f32", "f32", "f16", "bf16"),
  seed: fc.nat(),
  // One at a time: each has to be compiled.
  tile: fc.constantFrom<TileClass>(...tiles),
});

test.each([
  ["with the adapter's features", gpu],
  ["without any", bare],
])(
  "sums of products are what float64 gives, by every class of kernels, %s",
  { timeout: TIMEOUT },
  async (_, device) => {
    const runs = Math.min(6, fc.readConfigureGlobal()?.numRuns ?? 6);
    await fc.assert(
      fc.asyncProperty(cases, ({ tile, ...given }) => check(device, given, [tile])),
      { numRuns: runs },
    );
  },
);

/** A layer of a small model: rank 8, width 36, 20 for keys and values, 16 tokens. */
const T = 16;
const uses: readonly [string, Case, ...(readonly number[])][] = [
  [
    "a low-rank update and a residual",
    { sums: [{ m: T, n: 36, ks: [36, 8], residual: true }], layout: NT, together: true },
  ],
  [
    "queries, keys and values at once",
    {
      sums: [36, 20, 20].map((n) => ({ m: T, n, ks: [36, 8] })),
      layout: NT,
      together: true,
    },
  ],
  [
    "their thin factors",
    { sums: [8, 8, 8].map((n) => ({ m: T, n, ks: [36], scale: 2 })), layout: NT, together: true },
  ],
  [
    "the gradients of factors A",
    { sums: [36, 36, 36].map((n) => ({ m: 8, n, ks: [T] })), layout: TN, together: true },
  ],
  [
    "the gradients of factors B",
    { sums: [36, 12, 12].map((m) => ({ m, n: 8, ks: [T] })), layout: TN, together: true },
  ],
  [
    "both epilogues",
    { sums: [{ m: T, n: 36, ks: [36], bias: true, residual: true, scale: 0.5 }], layout: NT, together: true },
  ],
  [
    "one token",
    { sums: [36, 12].map((n) => ({ m: 1, n, ks: [36, 8], bias: true })), layout: NT, together: true },
  ],
];

/** Dispatches that a call takes, with its outputs laid as a compiled step lays them. */
function dispatchesOf(device: GpuDevice, given: Case): number {
  const laid = lay(given);
  const owner = openScope();
  const { tensors } = make(device, given, laid);
  const attrs = { members: laid.members, ...given.layout };
  const shapes = productsOp.infer(tensors, attrs).map(({ shape }) => shape);
  const zeros = (length: number) => fromArray(device, new Float32Array(length), [length]);
  const all = zeros(shapes.reduce((sum, shape) => sum + sizeOf(shape), 0));
  let start = 0;
  const ys = shapes.map((shape) => {
    const view = given.together ? viewOf(all, start, shape) : viewOf(zeros(sizeOf(shape)), 0, shape);
    start += sizeOf(shape);
    return view;
  });
  const count = productsOp.wgsl?.(tensors, ys, attrs, device.info).length ?? 0;
  owner[Symbol.dispose]();
  return count;
}

test.each(uses)("%s", { timeout: TIMEOUT }, async (name, given) => {
  for (const device of [gpu, bare]) {
    await check(device, given, name === "a low-rank update and a residual" ? tiles : [undefined]);
    await check(device, { ...given, together: false });
    expect(dispatchesOf(device, given)).toBe(1);
  }
});

test("the input gradient of a group is one dispatch, where its parts lie together", {
  timeout: TIMEOUT,
}, async () => {
  // dx = Σ dy_j · W_j + v_j · A_j, three of each.
  const widths = [36, 12, 12];
  const owner = openScope();
  const random = randomOf(3);
  const values = (length: number) => Float32Array.from({ length }, () => 2 * random() - 1);
  const shared = (shapes: readonly (readonly number[])[]) => {
    const total = shapes.reduce((sum, shape) => sum + sizeOf(shape), 0);
    const buffer = fromArray(gpu, values(total), [total]);
    let start = 0;
    return shapes.map((shape) => {
      const view = viewOf(buffer, start, shape);
      start += sizeOf(shape);
      return view;
    });
  };
  const dys = shared(widths.map((n) => [T, n]));
  const ws = shared(widths.map((n) => [n, 36]));
  const vs = shared(widths.map(() => [T, 8]));
  const as = shared(widths.map(() => [8, 36]));
  const pairs = [...dys.map((dy, j) => [dy, ws[j]] as const), ...vs.map((v, j) => [v, as[j]] as const)];
  const before = gpu.counters.dispatches;
  const [dx] = products([{ terms: pairs }]);
  expect(gpu.counters.dispatches - before).toBe(1);
  const composed = pairs.map(([a, b]) => matmul(a, b)).reduce((sum, y) => add(sum, y));
  const sizes = pairs.map(([a, b]) => matmul(abs(a), abs(b))).reduce((sum, y) => add(sum, y));
  const [got, want, magnitude] = await Promise.all(
    [dx, composed, sizes].map(async (y) => [...(await y.toArray())]),
  );
  owner[Symbol.dispose]();
  assertWithin({
    label: "dx",
    shape: [T, 36],
    got,
    want,
    // Both sides round: 60 + 24 steps, and six sums.
    budget: (i) => 2 * 90 * HALF_ULP * magnitude[i],
  });
});

test("products that lie apart take more dispatches and give the same", () => {
  const apart = (sums: readonly SumCase[]) => dispatchesOf(gpu, { sums, layout: NT, together: false });
  // Three outputs, three dispatches; two pairs of buffers in each.
  expect(apart([36, 12, 12].map((n) => ({ m: T, n, ks: [36, 8] })))).toBe(3);
  // Five pairs of buffers: two at a time.
  expect(apart([{ m: T, n: 36, ks: [36, 8, 4, 8, 8] }])).toBe(3);
  // Bias and residual are two bindings of eight beside the table, y and two pairs.
  expect(apart([{ m: T, n: 36, ks: [36, 8], bias: true, residual: true }])).toBe(1);
});

test("what should lie together is said for each place", () => {
  const member = (first: number) => ({
    terms: [
      { a: 0, b: first },
      { a: first + 1, b: first + 2 },
    ],
    scale: 1,
    residual: first + 3,
  });
  const attrs = { members: [member(1), member(5)], ...NT };
  expect(productsOp.together?.([], attrs)).toEqual([
    { inputs: [1, 5] },
    { inputs: [2, 6] },
    { inputs: [3, 7] },
    { inputs: [4, 8] },
    { outputs: [0, 1] },
  ]);
  const terms = [0, 2, 4].map((a, i) => ({ a, b: a + 1, section: i === 2 ? 1 : 0 }));
  expect(productsOp.together?.([], { members: [{ terms, scale: 1 }], ...NN })).toEqual([
    { inputs: [0, 2] },
    { inputs: [1, 3] },
  ]);
});

test("one product has the bits of matmul", async () => {
  for (const device of [gpu, bare])
    for (const layout of [NT, NN, TN]) {
      const laid = lay({ sums: [{ m: 12, n: 36, ks: [80] }], layout, together: false });
      const owner = openScope();
      const { tensors } = make(device, { sums: [], layout, together: false }, laid);
      const [y] = products([{ terms: [[tensors[0], tensors[1]]] }], layout);
      const plain = matmul(tensors[0], tensors[1], layout);
      const [got, want] = await Promise.all([y.toArray(), plain.toArray()]);
      owner[Symbol.dispose]();
      expect(got).toEqual(want);
    }
});

test("the number of sums and products does not change the code", () => {
  const before = gpu.counters.pipelinesCreated;
  const run = (sums: readonly SumCase[]) => {
    const given: Case = { sums, layout: NT, together: true };
    const laid = lay(given);
    const owner = openScope();
    apply(productsOp, make(gpu, given, laid).tensors, { members: laid.members, ...NT });
    owner[Symbol.dispose]();
  };
  run([{ m: 32, n: 72, ks: [36, 8] }]);
  const first = gpu.counters.pipelinesCreated;
  run([72, 40, 44, 48, 52].map((n, i) => ({ m: 32 + 4 * i, n, ks: [36, 8] })));
  expect(first - before).toBeLessThanOrEqual(1);
  expect(gpu.counters.pipelinesCreated).toBe(first);
});

test("the budget notices one value that is off by a few roundings", async () => {
  const spoil = (y: Float32Array) => {
    y[y.length - 1] += 1e-4;
  };
  const given: Case = { sums: [{ m: 20, n: 32, ks: [40, 8] }], layout: NT, together: true };
  await expect(check(gpu, given, [undefined], spoil)).rejects.toThrow(/chosen on .*off by/);
});

test("infinities beside a product do not come in", async () => {
  // Steps of four reach beyond k = 5, tiles beyond the edges: into the matrices of the next sum.
  for (const layout of [NT, NN, TN])
    for (const tile of tiles) {
      const owner = openScope();
      const values = new Float32Array(80).fill(1).fill(Infinity, 40);
      const [a, b] = [0, 1].map(() => fromArray(gpu, values, [80]));
      const of = (whole: Tensor, transposed: boolean, at: number) =>
        viewOf(whole, at, transposed ? [8, 5] : [5, 8]);
      const inputs = [0, 40].flatMap((at) => [of(a, !layout.transposeA, at), of(b, layout.transposeB, at)]);
      const members = [0, 2].map((i) => ({ terms: [{ a: i, b: i + 1 }], scale: 1 }));
      const y = await apply(productsBy(tile), inputs, { members, ...layout })[0].toArray();
      owner[Symbol.dispose]();
      expect([...y]).toEqual(new Array(64).fill(5));
    }
});

test("the compiler has no remark on any of these kernels", async () => {
  const own = [...shaders].filter(([, op]) => op === "products");
  expect(own.length).toBeGreaterThan(tiles.length);
  const remarks = await Promise.all(own.map(([code]) => validateWgsl(gpu.gpu, code)));
  expect(remarks.flat()).toEqual([]);
});

test("no class has a race inside a workgroup", { timeout: TIMEOUT }, () => {
  const device = new RaceDevice({ kernels: "reference" });
  for (const layout of [NT, NN, TN])
    for (const tile of tiles) {
      const given: Case = {
        sums: [
          { m: 4, n: 12, ks: [8, 4], residual: true },
          { m: 8, n: 4, ks: [5] },
        ],
        layout,
        together: false,
      };
      const laid = lay(given);
      const random = randomOf(1);
      const inputs = laid.inputs.map(({ shape }) =>
        fromArray(device, Array.from({ length: sizeOf(shape) }, random), shape),
      );
      apply(productsBy(tile), inputs, { members: laid.members, ...layout });
    }
  expect(device.races).toEqual([]);
  expect(device.refused).toEqual([]);
  expect([...device.seen.keys()].join()).toMatch(/workgroup.*split|split.*workgroup/);
});
