import { compile, type Device, fromArray, noGrad, openScope, scope, type Tensor } from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KvCache } from "../src/kvCache.ts";
import type { CausalLM } from "../src/models/causalLM.ts";
import { distance, loadLlama, loadModel } from "./support/golden.ts";

const { cpu, gpu, all } = await testDevices();

/** The sums of attention are the same whichever way a text is cut; products of other shapes may add in another order. */
const BUDGET = 5e-6;

function idsTensor(device: Device, ids: readonly number[]): Tensor {
  return fromArray(device, ids, [1, ids.length], { dtype: "i32" });
}

async function logitsOf(model: CausalLM, device: Device, ids: readonly number[]): Promise<number[]> {
  using logits = noGrad(() => scope(() => model.forward(idsTensor(device, ids))));
  return Array.from(await logits.toArray());
}

/** Logits of all positions, from pieces of the given lengths that go through a cache. */
async function logitsInPieces(
  model: CausalLM,
  device: Device,
  pieces: readonly (readonly number[])[],
): Promise<number[]> {
  using cache = new KvCache();
  const found: number[] = [];
  for (const piece of pieces) {
    using logits = noGrad(() => scope(() => model.forward(idsTensor(device, piece), { cache })));
    found.push(...(await logits.toArray()));
  }
  expect(cache.length).toBe(pieces.flat().length);
  return found;
}

/** Token ids, and the same cut into pieces in any way. */
const cutTexts = fc
  .array(fc.array(fc.integer({ min: 0, max: 66 }), { minLength: 1, maxLength: 6 }), {
    minLength: 1,
    maxLength: 5,
  })
  .map((pieces) => ({ pieces, ids: pieces.flat() }));

describe.each(all)("a cache on $name", (device) => {
  test.each([
    ["llama", {}],
    ["llama-odd", {}],
    ["qwen2", {}],
    ["mistral", { sliding_window: 4 }],
    ["gpt2", {}],
  ])("%s %o gives the logits of the whole text, however it is cut", async (name, change) => {
    const before = device.memory().liveBytes;
    const model = await loadModel(name, device, { change });
    await fc.assert(
      fc.asyncProperty(cutTexts, async ({ pieces, ids }) => {
        const whole = await logitsOf(model, device, ids);
        expect(distance(await logitsInPieces(model, device, pieces), whole)).toBeLessThan(BUDGET);
      }),
      { numRuns: device === gpu ? 5 : 25 },
    );
    model.dispose();
    expect(device.memory().liveBytes).toBe(before);
  });
});

test("a piece at a wrong position is beyond the budget", async () => {
  const model = await loadModel("llama", cpu);
  const whole = await logitsOf(model, cpu, [5, 6, 7, 8]);
  using cache = new KvCache();
  noGrad(() => scope(() => void model.forward(idsTensor(cpu, [5, 6]), { cache })));
  cache.advance(1);
  using logits = noGrad(() => scope(() => model.forward(idsTensor(cpu, [7, 8]), { cache })));
  expect(distance(Array.from(await logits.toArray()), whole.slice(2 * 96))).toBeGreaterThan(100 * BUDGET);
  model.dispose();
});

test("a cache asks for noGrad, since it keeps values and no history", async () => {
  const model = await loadModel("llama", cpu);
  using _ = openScope();
  using cache = new KvCache();
  expect(() => model.forward(idsTensor(cpu, [1]), { cache })).toThrow(
    "KvCache: a cache is for generation: call the model inside noGrad.",
  );
  model.freeze();
  model.forward(idsTensor(cpu, [1]), { cache });
  expect(cache.length).toBe(1);
  model.dispose();
});

describe("a sliding window", () => {
  /** One layer, so that a position sees exactly its window. */
  test.each(all)("of w hides what lies w or more positions back, on $name", async (device) => {
    const window = 3;
    const whole = await loadLlama("mistral", device);
    const windowed = await loadLlama("mistral", device, { change: { sliding_window: window } });
    // Cutting the second layer off leaves one in which information moves.
    whole.model.layers.splice(1).map((block) => block.dispose());
    windowed.model.layers.splice(1).map((block) => block.dispose());
    const ids = [3, 14, 15, 92, 65, 35, 89, 79];
    const got = await logitsOf(windowed, device, ids);
    const far = await logitsOf(whole, device, ids);
    for (let at = 0; at < ids.length; at++) {
      // Rotary positions are relative: the window alone gives the last position the same view.
      const start = Math.max(0, at - window + 1);
      const alone = (await logitsOf(whole, device, ids.slice(start, at + 1))).slice(-96);
      const own = got.slice(at * 96, (at + 1) * 96);
      expect(distance(own, alone)).toBeLessThan(2 * BUDGET);
      if (start > 0) expect(distance(own, far.slice(at * 96, (at + 1) * 96))).toBeGreaterThan(100 * BUDGET);
    }
    whole.dispose();
    windowed.dispose();
  });

  test("as long as the text changes nothing", async () => {
    const model = await loadModel("mistral", cpu);
    const windowed = await loadModel("mistral", cpu, { change: { sliding_window: 5 } });
    expect(await logitsOf(windowed, cpu, [1, 2, 3, 4, 5])).toEqual(
      await logitsOf(model, cpu, [1, 2, 3, 4, 5]),
    );
    model.dispose();
    windowed.dispose();
  });
});

test("rotary tables outlive the scope in which they grew, and are freed with the model", async () => {
  for (const device of all) {
    const before = device.memory().liveBytes;
    const model = await loadModel("llama", device);
    const loaded = device.memory().liveBytes;
    const short = await logitsOf(model, device, [1, 2, 3]);
    // 64 positions of 4 pairs, cosines and sines.
    expect(device.memory().liveBytes - loaded).toBe(2 * 64 * 4 * 4);
    await logitsOf(
      model,
      device,
      Array.from({ length: 65 }, (_, i) => i),
    );
    expect(device.memory().liveBytes - loaded).toBe(2 * 128 * 4 * 4);
    expect(await logitsOf(model, device, [1, 2, 3])).toEqual(short);
    model.dispose();
    model.dispose();
    expect(device.memory().liveBytes).toBe(before);
  }
});

/** Any ids that the tiny models know. */
const manyIds = (count: number): number[] => Array.from({ length: count }, (_, i) => (7 * i + 3) % 67);

test("decoding at any length creates no pipeline after the first two tokens", async () => {
  const model = await loadModel("llama", gpu);
  using cache = new KvCache();
  const read = (ids: readonly number[]) =>
    noGrad(() => scope(() => void model.forward(idsTensor(gpu, ids), { cache })));
  read(manyIds(5));
  read([1]);
  read([2]);
  const { pipelinesCreated } = gpu.counters;
  // Beyond 64 and 128 positions, where the cache and the rotary tables grow.
  for (let token = 0; token < 130; token++) read([token % 67]);
  expect(cache.length).toBe(137);
  expect(gpu.counters.pipelinesCreated - pipelinesCreated).toBe(0);
  model.dispose();
});

test("a cache that grows gives the logits of the whole text", async () => {
  for (const device of all) {
    const model = await loadModel("llama", device);
    const ids = manyIds(70);
    const whole = await logitsOf(model, device, ids);
    const got = await logitsInPieces(model, device, [ids.slice(0, 60), ids.slice(60, 66), ids.slice(66)]);
    expect(distance(got, whole)).toBeLessThan(BUDGET);
    model.dispose();
  }
});

test("one compiled step decodes at every length, in buffers that stay", async () => {
  for (const device of [cpu, gpu]) {
    const model = await loadModel("llama", device);
    const { numHiddenLayers: layers, numKeyValueHeads: kvHeads, headDim } = model.config;
    using cache = new KvCache({ capacity: 80 });
    cache.reserve(device, { layers, kvHeads, headDim });
    const step = compile((token: Tensor) => noGrad(() => model.forward(token, { cache })));
    const ids = manyIds(72);
    const whole = await logitsOf(model, device, ids);
    const got: number[] = [];
    let start = { ...device.counters };
    for (const [i, id] of ids.entries()) {
      if (i === 3) start = { ...device.counters };
      using input = idsTensor(device, [id]);
      using logits = step(input);
      got.push(...(await logits.toArray()));
    }
    expect(step.traces).toBe(1);
    expect(distance(got, whole)).toBeLessThan(BUDGET);
    expect(device.counters.pipelinesCreated - start.pipelinesCreated).toBe(0);
    expect(device.counters.bindGroupsCreated - start.bindGroupsCreated).toBe(0);
    expect(cache.length).toBe(72);
    step.dispose();
    model.dispose();
  }
});

test("a cache that is full says so, and a capacity of nothing is refused", async () => {
  const model = await loadModel("llama", cpu);
  using cache = new KvCache({ capacity: 4 });
  const read = (ids: readonly number[]) =>
    noGrad(() => scope(() => void model.forward(idsTensor(cpu, ids), { cache })));
  read([1, 2, 3]);
  expect(() => read([4, 5])).toThrow(
    "KvCache: there must be room for 5 positions, got a capacity of 4. Make a cache with a larger one.",
  );
  read([4]);
  expect(() => new KvCache({ capacity: 0 })).toThrow(
    "KvCache: capacity must be a whole number from 1, got 0.",
  );
  model.dispose();
});
