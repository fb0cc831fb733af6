import { AdamW, KvCache, Parameter, SGD } from "@graft/nn";
import { compile, fromArray, noGrad, openScope, reshape, sum, type Tensor } from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";

const { all } = await testDevices();

describe.each(all)("what changes from step to step on $name", (device) => {
  const make = (values: number[]) => fromArray(device, values, [values.length]);

  describe.each(["AdamW", "SGD"] as const)("%s", (kind) => {
    /** Parameters after some steps; the compiled ones were planned and warmed up with another learning rate. */
    async function train(isCompiled: boolean): Promise<number[][]> {
      using _ = openScope();
      const w = new Parameter(make([1, 2]));
      const options = { learningRate: 0.5 };
      const optimizer = kind === "AdamW" ? new AdamW([["w", w]], options) : new SGD([["w", w]], options);
      const body = (input: Tensor): Tensor => {
        const loss = sum(w.mul(w).mul(input));
        loss.backward();
        optimizer.step();
        optimizer.zeroGrad();
        return loss.detach();
      };
      const step = compile(body, { fuse: false });
      const x = make([1, 3]);
      if (isCompiled) {
        step.plan(x);
        await step.warmUp(x);
        await step.warmUp(make([1]));
        expect(optimizer.state().step).toBe(0);
      }
      const seen: number[][] = [];
      for (const learningRate of [0.1, 0.05, 0.2]) {
        optimizer.learningRate = learningRate;
        (isCompiled ? step : body)(x);
        seen.push([...(await w.toArray()), optimizer.state().step]);
      }
      step.dispose();
      optimizer.dispose();
      return seen;
    }

    test("warmUp and plan count no step, and the next one has the learning rate of its time", async () => {
      expect(await train(true)).toEqual(await train(false));
    });
  });

  const SIZES = { layers: 1, kvHeads: 1, headDim: 1 };

  /** Writes one position and returns all that the cache holds. */
  const writing = (cache: KvCache) => (x: Tensor) =>
    noGrad(() => {
      const given = reshape(x, [1, 1, 1, 1]);
      const { keys } = cache.extend(0, given, given);
      cache.advance(1);
      return reshape(keys, [keys.size]);
    });

  test("a cache counts what was run, not what was warmed up", async () => {
    using _ = openScope();
    using cache = new KvCache({ capacity: 4 });
    cache.reserve(device, SIZES);
    const step = compile(writing(cache));
    const x = make([1]);
    step.plan(x);
    await step.warmUp(x);
    expect(cache.length).toBe(0);
    for (const value of [5, 6, 7]) step(make([value]));
    expect(cache.length).toBe(3);
    expect(await step(make([8])).toArray()).toEqual(Float32Array.of(5, 6, 7, 8));
    expect(() => step(x)).toThrow(
      "KvCache: there must be room for 5 positions, got a capacity of 4. Make a cache with a larger one.",
    );
    expect(cache.length).toBe(4);
    step.dispose();
  });

  test("a cache whose room would grow in a compiled step is refused", async () => {
    using _ = openScope();
    using without = new KvCache({ capacity: 4 });
    const early = compile(writing(without));
    expect(() => early(make([1]))).toThrow(
      "KvCache: there must be room for 1 positions before a step is compiled, got 0. Give the cache a capacity and call reserve first.",
    );
    expect(without.length).toBe(0);
    using growing = new KvCache();
    growing.reserve(device, SIZES);
    const step = compile(writing(growing));
    for (let i = 0; i < 64; i++) step(make([i]));
    expect(() => step(make([64]))).toThrow(
      "KvCache: there must be room for 65 positions when a compiled step is repeated, got 64. Make a cache with a capacity.",
    );
    // Uncompiled it grows, and what is compiled then has the new room.
    writing(growing)(make([64]));
    growing.rewind(63);
    const held = await step(make([99])).toArray();
    expect(held).toHaveLength(128);
    expect([held[62], held[63], held[64]]).toEqual([62, 99, 64]);
    step.dispose();
  });
});
