import { fromArray, type GpuDevice, grad, noGrad, openScope, scope, type Tensor } from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { apply } from "@graft/tensor/op";
import { assertWithin, FLOOR, HALF_ULP, inputOf, randomOf, testDevices, viewOf } from "@graft/tensor/testing";
import * as fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { attentionBy } from "../../src/ops/attention/attention.ts";
import { composedAttention } from "../../src/ops/attention/composed.ts";
import {
  type AttentionAttrs,
  type AttentionLayout,
  inLayout,
  planAttention,
} from "../../src/ops/attention/plan.ts";
import { type AttentionClass, attentionClasses } from "../../src/ops/attention/tiles.ts";
import { sizeOf } from "../../src/shape.ts";
import { validateWgsl } from "../../test-support/wgsl.ts";
import { RaceDevice } from "./raceDevice.ts";

const classes: readonly AttentionClass[] = ["plain", "broadcast", "workgroup"];
const TIMEOUT = 240_000;

const { gpu, cpu, reference, shaders } = await testDevices();
const bare = await openWebGpu({ features: [], limits: "default" });
afterAll(() => bare.close());

interface Case {
  readonly batch?: number;
  readonly kvHeads?: number;
  readonly group?: number;
  readonly queries: number;
  /** Keys before the first query. */
  readonly cached?: number;
  /** Keys that k has room for beyond those that hold values. */
  readonly spare?: number;
  readonly headDim: number;
  readonly causal?: boolean;
  readonly window?: number;
  /** The segment of each key. */
  readonly segments?: readonly number[];
  readonly layout?: AttentionLayout;
  /** Elements before q, k and v in their storages. */
  readonly offset?: number;
  readonly seed?: number;
}

/** A case with its defaults, its attrs and its values. */
function laidOut(given: Case) {
  const {
    batch = 1,
    kvHeads = 1,
    group = 1,
    queries,
    cached = 0,
    spare = 0,
    headDim,
    layout = "bthd",
  } = given;
  const keys = queries + cached;
  const attrs: AttentionAttrs = {
    layout,
    scale: 1 / Math.sqrt(headDim),
    causal: given.causal ?? true,
    window: given.window ?? Infinity,
    keys,
  };
  const shapes = [
    inLayout(layout, [batch, kvHeads * group, queries, headDim]),
    inLayout(layout, [batch, kvHeads, keys + spare, headDim]),
    inLayout(layout, [batch, kvHeads, keys + spare, headDim]),
    inLayout(layout, [batch, kvHeads * group, queries, headDim]),
  ];
  const random = randomOf(given.seed ?? 1);
  const values = shapes.map((shape) =>
    Float32Array.from({ length: sizeOf(shape) }, () => 3 * random() - 1.5),
  );
  const segments =
    given.segments === undefined
      ? undefined
      : Array.from({ length: batch * (keys + spare) }, (_, i) => given.segments?.[i % (keys + spare)] ?? 0);
  const metas = shapes.slice(0, 3).map((shape) => ({ shape, dtype: "f32" as const }));
  return { attrs, shapes, values, segments, plan: planAttention(metas, attrs), keys, spare };
}

/** y, dq, dk and dv in float64, and how far f32 may be from each, value by value. */
function exact(given: Case): { values: Float64Array[]; budgets: Float64Array[] } {
  const { attrs, plan, values, segments, shapes } = laidOut(given);
  const [q, k, v, dy] = values;
  const { scale, keys } = attrs;
  const D = plan.headDim;
  const results = [3, 0, 1, 2].map((i) => new Float64Array(sizeOf(shapes[i])));
  const budgets = results.map((list) => new Float64Array(list.length).fill(FLOOR));
  const [y, dq, dk, dv] = results;
  const [yBudget, dqBudget, dkBudget, dvBudget] = budgets;
  const dot = (a: Float32Array | Float64Array, i: number, b: Float32Array, j: number): [number, number] => {
    let sum = 0;
    let size = 0;
    for (let d = 0; d < D; d++) {
      sum += a[i + d] * b[j + d];
      size += Math.abs(a[i + d] * b[j + d]);
    }
    return [sum, size];
  };
  for (let row = 0; row < plan.batch * plan.heads * plan.queries; row++) {
    const i = row % plan.queries;
    const head = Math.floor(row / plan.queries) % plan.heads;
    const b = Math.floor(row / (plan.queries * plan.heads));
    const position = i + keys - plan.queries;
    const at = b * plan.q.batch + head * plan.q.head + i * plan.q.row;
    const kv = b * plan.k.batch + Math.floor(head / plan.group) * plan.k.head;
    const own = b * plan.capacity;
    const seen = Array.from({ length: keys }, (_, j) => j).filter(
      (j) =>
        (!attrs.causal || j <= position) &&
        j > position - attrs.window &&
        (segments === undefined || segments[own + j] === segments[own + position]),
    );
    if (seen.length === 0) continue;
    const line = (j: number): number => kv + j * plan.k.row;
    const products = seen.map((j) => dot(q, at, k, line(j)));
    const scores = products.map(([sum]) => scale * sum);
    const top = Math.max(...scores);
    const exps = scores.map((s) => Math.exp(s - top));
    const total = exps.reduce((a, c) => a + c, 0);
    const p = exps.map((e) => e / total);
    // A score is D products, added, and scaled; its error is one of the weight, relative, and so is that of the sum of
    // weights. WGSL's exp is off by 3 + 2|x| of its last places, also where the maximum changes.
    const score = Math.max(...products.map(([, size]) => (D + 4) * HALF_ULP * scale * size));
    const range = top - Math.min(...scores);
    const relative = 2 * score + (2 * (6 + 4 * range) + seen.length + 12) * HALF_ULP;
    let deltaError = 0;
    for (let d = 0; d < D; d++) {
      let size = 0;
      seen.forEach((j, n) => {
        y[at + d] += p[n] * v[line(j) + d];
        size += p[n] * Math.abs(v[line(j) + d]);
      });
      yBudget[at + d] += 2 * relative * size;
      deltaError += Math.abs(dy[at + d]) * (yBudget[at + d] + (D + 2) * HALF_ULP * Math.abs(y[at + d]));
    }
    const [delta] = dot(y, at, dy, at);
    seen.forEach((j, n) => {
      const [t, tSize] = dot(dy, at, v, line(j));
      const ds = scale * p[n] * (t - delta);
      const dsError =
        2 * relative * Math.abs(ds) +
        scale * p[n] * (1 + relative) * ((D + 2) * HALF_ULP * tSize + deltaError);
      const many = (keys + plan.queries * plan.group + 4) * HALF_ULP;
      for (let d = 0; d < D; d++) {
        dq[at + d] += ds * k[line(j) + d];
        dqBudget[at + d] += (dsError + many * Math.abs(ds)) * Math.abs(k[line(j) + d]);
        dk[line(j) + d] += ds * q[at + d];
        dkBudget[line(j) + d] += (dsError + many * Math.abs(ds)) * Math.abs(q[at + d]);
        dv[line(j) + d] += p[n] * dy[at + d];
        dvBudget[line(j) + d] += p[n] * (2 * relative + many) * Math.abs(dy[at + d]);
      }
    });
  }
  return { values: results, budgets };
}

type Attend = (inputs: readonly Tensor[], attrs: AttentionAttrs) => Tensor;

const fused =
  (tile: AttentionClass): Attend =>
  (inputs, attrs) =>
    apply(attentionBy(tile), inputs, attrs)[0];

/** y, dq, dk and dv on a device. What lies around the operands, and keys that hold no value, would be seen in any sum. */
async function computed(
  device: GpuDevice | typeof cpu,
  given: Case,
  attend: Attend,
): Promise<Float32Array[]> {
  const { attrs, shapes, values, segments, keys, spare } = laidOut(given);
  using _ = openScope();
  const offset = given.offset ?? 0;
  const [q, k, v, dy] = values.map((list, i) => {
    const shape = shapes[i];
    const held = i === 1 || i === 2 ? unheld(list, shape, attrs.layout, keys, spare) : list;
    const around = new Float32Array(offset + held.length + 3).fill(2 ** 15);
    around.set(held, offset);
    const placed = viewOf(fromArray(device, around, [around.length]), offset, shape);
    if (i < 3) placed.requiresGrad = true;
    return placed;
  });
  const more =
    segments === undefined
      ? []
      : [fromArray(device, segments, [shapes[1][0], keys + spare], { dtype: "i32" })];
  const y = attend([q, k, v, ...more], attrs);
  const gradients = grad(y, [q, k, v], { gradient: dy });
  return Promise.all([y, ...gradients].map(async (x) => Float32Array.from(await x.toArray())));
}

/** Keys from `keys` on are replaced by large values. */
function unheld(
  list: Float32Array,
  shape: readonly number[],
  layout: AttentionLayout,
  keys: number,
  spare: number,
) {
  const copy = list.slice();
  if (spare === 0) return copy;
  const [, b, c, d] = shape;
  const inner = layout === "bhtd" ? d : c * d;
  const rows = layout === "bhtd" ? c : b;
  for (let i = 0; i < copy.length; i++) if (Math.floor(i / inner) % rows >= keys) copy[i] = 2 ** 15;
  return copy;
}

const names = ["y", "dq", "dk", "dv"];

/** Compares with float64 under the budget; `spoil` is for controls. */
async function check(
  device: GpuDevice | typeof cpu,
  given: Case,
  attend: Attend,
  label: string,
  spoil = (_: Float32Array[]) => {},
): Promise<void> {
  const want = exact(given);
  const got = await computed(device, given, attend);
  spoil(got);
  for (const [i, name] of names.entries()) {
    assertWithin({
      label: `${name} by ${label} on ${device.name}, ${JSON.stringify(given)}`,
      shape: [want.values[i].length],
      got: got[i],
      want: want.values[i],
      budget: (at) => want.budgets[i][at],
    });
  }
}

/** All classes that a device can run, each against float64 and with the same bits twice; and the composition. */
async function checkAll(device: GpuDevice, given: Case, some = classes): Promise<void> {
  for (const tile of some) {
    if (tile === "broadcast" && device === bare) continue;
    await check(device, given, fused(tile), tile);
    const [one, two] = await Promise.all([1, 2].map(() => computed(device, given, fused(tile))));
    const same = one.map((list, i) => Buffer.from(list.buffer).equals(Buffer.from(two[i].buffer)));
    expect(same).toEqual([true, true, true, true]);
  }
  await check(device, given, composedAttention, "the composition");
  await check(cpu, given, fused("plain"), "WebAssembly");
  await check(reference, given, fused("plain"), "plain loops");
}

const cases = fc
  .record({
    batch: fc.integer({ min: 1, max: 2 }),
    kvHeads: fc.integer({ min: 1, max: 2 }),
    group: fc.integer({ min: 1, max: 4 }),
    // Around the sizes of tiles: 8, 16 and 32.
    queries: fc.oneof(fc.integer({ min: 1, max: 19 }), fc.integer({ min: 30, max: 35 })),
    cached: fc.constantFrom(0, 0, 1, 7, 33),
    spare: fc.constantFrom(0, 0, 5),
    causal: fc.boolean(),
    window: fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined }),
    packed: fc.option(fc.integer({ min: 2, max: 12 }), { nil: undefined }),
    layout: fc.constantFrom<AttentionLayout>("bhtd", "bthd"),
    seed: fc.nat(),
  })
  .map(({ window, packed, ...rest }): Case => {
    const keys = rest.queries + rest.cached + rest.spare;
    return {
      ...rest,
      headDim: 8, // each has its own pipelines; the examples below have others
      window: rest.causal ? window : undefined,
      segments:
        packed === undefined ? undefined : Array.from({ length: keys }, (_, j) => Math.floor(j / packed)),
    };
  });

test("every class gives what float64 gives, forward and backward", { timeout: TIMEOUT }, async () => {
  await fc.assert(
    fc.asyncProperty(cases, (given) => checkAll(gpu, given)),
    { numRuns: 15 },
  );
});

test("and so without any feature of the adapter", { timeout: TIMEOUT }, async () => {
  await checkAll(bare, { batch: 2, kvHeads: 2, group: 3, queries: 34, cached: 7, headDim: 8, window: 30 });
  await checkAll(bare, { queries: 5, cached: 30, spare: 3, headDim: 8, causal: false, layout: "bhtd" });
});

// Some classes only, for each takes seconds to compile on a software adapter.
test.each<[string, AttentionClass, Case]>([
  ["a head that is no multiple of what is staged", "workgroup", { group: 2, queries: 37, headDim: 20 }],
  ["a head of odd size", "plain", { group: 2, queries: 11, headDim: 5 }],
  ["a view that begins in the middle of four values", "broadcast", { queries: 18, headDim: 8, offset: 3 }],
  [
    "one token with a cache",
    "broadcast",
    { kvHeads: 3, group: 3, queries: 1, cached: 40, spare: 23, headDim: 8 },
  ],
  [
    "segments in another order",
    "broadcast",
    { queries: 20, headDim: 8, segments: [3, 3, 3, 1, 1, 2, 2, 2, 2, 3, 3, 1, 1, 5, 5, 5, 5, 3, 3, 3] },
  ],
  ["a window of one", "workgroup", { queries: 17, headDim: 8, window: 1 }],
])("%s, %s", { timeout: TIMEOUT }, (_, tile, given) => checkAll(gpu, given, [tile]));

test.each([64, 128])("heads of %i values", { timeout: TIMEOUT }, async (headDim) => {
  await check(gpu, { kvHeads: 3, group: 3, queries: 18, headDim }, fused("broadcast"), "broadcast");
});

test("the composition is the same function, to float64", async () => {
  const samples = fc.sample(cases, 10);
  for (const given of samples) {
    const { attrs, shapes, values, segments, keys, spare } = laidOut(given);
    using _ = openScope();
    const [q, k, v, dy] = values.map((list, i) =>
      fromArray(reference, list, shapes[i], { dtype: "f64", requiresGrad: i < 3 }),
    );
    const more =
      segments === undefined
        ? []
        : [fromArray(reference, segments, [shapes[1][0], keys + spare], { dtype: "i32" })];
    const [one, two] = await Promise.all(
      [composedAttention, fused("plain")].map(async (attend) => {
        const y = attend([q, k, v, ...more], attrs);
        const all = [y, ...grad(y, [q, k, v], { gradient: dy })];
        return Promise.all(all.map((x) => x.toArray()));
      }),
    );
    one.forEach((list, i) => {
      for (let at = 0; at < list.length; at++) expect(Math.abs(list[at] - two[i][at])).toBeLessThan(1e-12);
    });
  }
});

test("what is nearly right is beyond the budget", { timeout: TIMEOUT }, async () => {
  const given: Case = { kvHeads: 1, group: 2, queries: 20, headDim: 8, window: 9 };
  const changed =
    (change: Partial<AttentionAttrs>): Attend =>
    (inputs, attrs) =>
      fused("broadcast")(inputs, { ...attrs, ...change });
  const scale = 1 / Math.sqrt(8);
  await expect(check(gpu, given, changed({ scale: scale * 1.0001 }), "scale")).rejects.toThrow(/off by/);
  await expect(check(gpu, given, changed({ window: 10 }), "window")).rejects.toThrow(/off by/);
  await expect(check(gpu, given, changed({ keys: 19 }), "keys")).rejects.toThrow(/off by/);
  for (const i of names.keys()) {
    const spoil = (lists: Float32Array[]) => {
      lists[i][lists[i].length - 1] += 2e-5;
    };
    await expect(check(gpu, given, fused("broadcast"), "control", spoil)).rejects.toThrow(
      `${names[i]} by control`,
    );
  }
  const packed: Case = {
    queries: 20,
    headDim: 8,
    segments: Array.from({ length: 20 }, (_, j) => Number(j > 7)),
  };
  const ignored: Attend = ([q, k, v], attrs) => fused("broadcast")([q, k, v], attrs);
  await expect(check(gpu, packed, ignored, "segments")).rejects.toThrow(/off by/);
});

test("the gradients of q and k where a query has no choice are roundings of nothing", async () => {
  const given: Case = { queries: 9, headDim: 8, window: 1 };
  for (const device of [gpu, cpu]) {
    const [, dq, dk] = await computed(device, given, fused("plain"));
    for (const list of [dq, dk]) for (const value of list) expect(Math.abs(value)).toBeLessThan(1e-5);
  }
});

test("one dispatch forward, two backward, three with segments", async () => {
  const counts = async (given: Case) => {
    const { attrs, shapes, values, segments } = laidOut(given);
    using _ = openScope();
    const [q, k, v, dy] = values.map((list, i) => fromArray(gpu, list, shapes[i], { requiresGrad: i < 3 }));
    const more =
      segments === undefined ? [] : [fromArray(gpu, segments, [1, segments.length], { dtype: "i32" })];
    const start = gpu.counters.dispatches;
    const y = fused("broadcast")([q, k, v, ...more], attrs);
    const middle = gpu.counters.dispatches;
    grad(y, [q, k, v], { gradient: dy });
    return [middle - start, gpu.counters.dispatches - middle];
  };
  expect(await counts({ kvHeads: 2, group: 3, queries: 20, headDim: 8 })).toEqual([1, 2]);
  const segments = Array.from({ length: 20 }, (_, j) => Number(j > 7));
  expect(await counts({ queries: 20, headDim: 8, segments })).toEqual([1, 3]);
});

test("other lengths, batches, heads and windows need no other pipeline", { timeout: TIMEOUT }, async () => {
  for (const tile of classes) {
    const attend = fused(tile);
    await computed(gpu, { queries: 3, headDim: 8 }, attend);
    const before = gpu.counters.pipelinesCreated;
    for (const given of [
      { queries: 70, headDim: 8 },
      { queries: 2, cached: 50, spare: 9, headDim: 8, layout: "bhtd" },
      { batch: 2, kvHeads: 2, group: 2, queries: 20, headDim: 8, window: 4 },
      { queries: 20, headDim: 8, causal: false },
    ] as const)
      await computed(gpu, given, attend);
    expect(gpu.counters.pipelinesCreated - before).toBe(0);
  }
});

test("scores of thousands, and keys that cancel them, stay finite", async () => {
  const shape = [1, 12, 1, 8];
  for (const device of [gpu, bare, cpu]) {
    for (const tile of classes) {
      if (tile === "broadcast" && device === bare) continue;
      const q = fromArray(device, new Float32Array(96).fill(100), shape);
      const k = fromArray(
        device,
        Float32Array.from({ length: 96 }, (_, i) => (Math.floor(i / 8) % 2 === 0 ? 100 : -100)),
        shape,
      );
      const v = fromArray(device, inputOf(shape, 1).values, shape);
      const attrs = { layout: "bthd", scale: 1, causal: true, window: Infinity, keys: 12 } as const;
      using y = noGrad(() => scope(() => fused(tile)([q, k, v], attrs)));
      const values = await y.toArray();
      const given = inputOf(shape, 1).values;
      // Equal weights on the even keys, none on the odd ones.
      for (let i = 0; i < 12; i++) {
        const even = [0, 2, 4, 6, 8, 10].filter((j) => j <= i);
        const mean = even.reduce((sum, j) => sum + given[8 * j], 0) / even.length;
        expect(values[8 * i]).toBeCloseTo(mean, 5);
      }
    }
  }
});

test("the table chooses by what the adapter says of itself and by shape", () => {
  const adapters = {
    lavapipe: { subgroups: true, subgroupSize: 8, software: true },
    swiftshader: { subgroups: true, subgroupSize: 4, software: true },
    bareSoftware: { subgroups: false, subgroupSize: 0, software: true },
    gpu: { subgroups: true, subgroupSize: 32, software: false },
    bareGpu: { subgroups: false, subgroupSize: 0, software: false },
  };
  const chosen = (given: Case, valueDim = given.headDim) => {
    const plan = { ...laidOut(given).plan, valueDim };
    return Object.values(adapters).map((info) => attentionClasses(plan, { ...gpu.info, ...info })[0]);
  };
  const tiled = ["broadcast", "broadcast", "plain", "workgroup", "workgroup"];
  const plain = new Array(5).fill("plain");
  expect(chosen({ kvHeads: 3, group: 3, queries: 128, headDim: 64 })).toEqual(tiled);
  expect(chosen({ kvHeads: 3, group: 3, queries: 1, cached: 9, headDim: 64 })).toEqual(tiled);
  expect(chosen({ kvHeads: 3, group: 3, queries: 128, headDim: 66 })).toEqual(plain);
  expect(chosen({ kvHeads: 3, group: 3, queries: 128, headDim: 256 })).toEqual(plain);
  expect(chosen({ kvHeads: 3, group: 3, queries: 128, headDim: 64 }, 32)).toEqual(plain);
  expect(chosen({ queries: 4, headDim: 8 })).toEqual(plain);
});

test("the compiler has no remark on any of these kernels", async () => {
  const own = [...shaders].filter(([, op]) => op.startsWith("attention"));
  expect(own.length).toBeGreaterThan(classes.length);
  const remarks = await Promise.all(own.map(([code]) => validateWgsl(gpu.gpu, code)));
  expect(remarks.flat()).toEqual([]);
});

test("no class has a race inside a workgroup", { timeout: TIMEOUT }, () => {
  const device = new RaceDevice({ kernels: "reference" });
  for (const [headDim, segments] of [
    [4, undefined],
    [8, undefined],
    [4, [1, 1, 1, 2, 2, 2]],
  ] as const) {
    const { attrs, shapes, values } = laidOut({ group: 2, queries: 6, headDim });
    using _ = openScope();
    const [q, k, v, dy] = values.map((list, i) =>
      fromArray(device, list, shapes[i], { requiresGrad: i < 3 }),
    );
    const more = segments === undefined ? [] : [fromArray(device, segments, [1, 6], { dtype: "i32" })];
    grad(fused("workgroup")([q, k, v, ...more], attrs), [q, k, v], { gradient: dy });
  }
  expect(device.races).toEqual([]);
  expect(device.refused).toEqual([]);
  const seen = [...device.seen.keys()].join();
  for (const key of [
    "attention|workgroup",
    "attentionGradient|dqworkgroup",
    "attentionGradient|dkvworkgroup",
  ])
    expect(seen).toContain(key);
});
