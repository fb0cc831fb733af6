import {
  add,
  changesNothing,
  compile,
  dropout,
  everyStep,
  foldIn,
  fromArray,
  Generator,
  keep,
  linearCrossEntropy,
  matmul,
  mul,
  noGrad,
  openScope,
  reshape,
  sum,
  type Tensor,
} from "@graft/tensor";
import { apply, e, pointwise } from "@graft/tensor/op";
import { testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";

const { all } = await testDevices();

/** Anything that makes compiled steps look again. */
function change(leaf: Tensor): void {
  leaf.requiresGrad = !leaf.requiresGrad;
}

describe.each(all)("what a compiled step remembers on $name", (device) => {
  const make = (values: number[], requiresGrad = false) =>
    fromArray(device, values, [values.length], { requiresGrad });

  test("a gradient that it takes away is taken away where there was none before", () => {
    using _ = openScope();
    const w = make([1], true);
    const step = compile((a: Tensor) => {
      w.grad?.dispose();
      w.grad = undefined;
      return noGrad(() => add(a, w));
    });
    const x = make([1]);
    step(x);
    w.grad = keep(make([5]));
    step(x);
    expect(w.grad).toBeUndefined();
    step.dispose();
  });

  test("what it returns beside tensors it has made, and which keys they have", async () => {
    using _ = openScope();
    const model = { mode: 0, weights: [make([1]), make([2])] };
    const step = compile((a: Tensor): Record<string, unknown> => {
      const weight = model.weights[model.mode];
      return { [`y${model.mode}`]: add(a, 1), mode: model.mode, weight };
    });
    const x = make([1]);
    expect(step(x)).toMatchObject({ y0: { shape: [1] }, mode: 0 });
    model.mode = 1;
    change(make([0]));
    const later = step(x);
    expect(later).toMatchObject({ y1: { shape: [1] }, mode: 1 });
    expect(await (later.weight as Tensor).item()).toBe(2); // as the step returns it
    step.dispose();
  });

  test("a number that is only counted", () => {
    using _ = openScope();
    let isCounted = false;
    let count = 0;
    const step = compile((a: Tensor) => {
      if (isCounted) everyStep(() => ({ count: ++count }));
      return add(a, 1);
    });
    const x = make([1]);
    step(x);
    isCounted = true;
    change(make([0]));
    for (let i = 0; i < 3; i++) step(x);
    expect(count).toBe(3);
    step.dispose();
  });

  test("no other step looks again because one was traced, or because a leaf was made", () => {
    using _ = openScope();
    const [f, g] = [1, 2].map((value) => compile((a: Tensor) => add(a, value)));
    const x = make([1], true);
    const [head, states] = [
      fromArray(device, [1, 2, 3, 4], [2, 2], { requiresGrad: true }),
      fromArray(device, [1, 2], [1, 2], { requiresGrad: true }),
    ];
    const target = fromArray(device, [1], [1], { dtype: "i32" });
    for (let i = 0; i < 3; i++) {
      f(x);
      g(x);
      linearCrossEntropy(states, head, target);
    }
    expect([f.traces, g.traces]).toEqual([1, 1]);
    change(x);
    f(x);
    expect(f.traces).toBe(2);
    for (const step of [f, g]) step.dispose();
  });

  test("constants are told apart by what they are", async () => {
    using _ = openScope();
    const kinds: unknown[] = [
      Number.NaN, Number.POSITIVE_INFINITY, null, "NaN", undefined, 0, -0, 1n, "1", true, "scalar", new Set([1]), new Set([2]), new Map([[1, 2]]), [],
      Int32Array.of(1), Uint32Array.of(1),
    ]; // biome-ignore format: a list
    let number = 0;
    const step = compile((a: Tensor, _kind: { kind: unknown }) => add(a, number));
    const x = make([0]);
    for (const [i, kind] of [...kinds.entries(), ...kinds.entries()]) {
      number = i;
      expect(await step(x, { kind }).item()).toBe(i);
    }
    expect(step.traces).toBe(kinds.length);
    step.dispose();
    const first = compile((a: Tensor, given: unknown) => add(a, given === "scalar" ? 10 : (given as Tensor))); // one or the other
    expect(await first(x, 3).item()).toBe(3);
    expect(await first(x, "scalar").item()).toBe(10);
    first.dispose();
  });

  test("host values in a typed array count by content", async () => {
    using _ = openScope();
    const step = compile((a: Tensor, given: Int32Array) => add(a, given[0]));
    const ids = Int32Array.of(1);
    const x = make([0]);
    expect(await step(x, ids).item()).toBe(1);
    ids[0] = 2;
    expect(await step(x, ids).item()).toBe(2);
    step.dispose();
  });

  test("a number is a scalar inside of another step too", async () => {
    using _ = openScope();
    const inner = compile((a: Tensor, factor: Tensor) => mul(reshape(factor, [1]), a));
    const outer = compile((a: Tensor) => inner(a, 3));
    expect(await outer(make([2])).item()).toBe(6);
    expect(await outer(make([5])).item()).toBe(15);
    for (const step of [inner, outer]) step.dispose();
  });

  test("sets of tensors are results too", async () => {
    using _ = openScope();
    const step = compile((a: Tensor) => new Set([add(a, 1), add(a, 2)]));
    const values = await Promise.all([...step(make([1]))].map((tensor) => tensor.item()));
    expect(values).toEqual([2, 3]);
    step.dispose();
  });

  test("a gradient that somebody kept stays what it was", async () => {
    using _ = openScope();
    const w = make([3], true);
    const step = compile((a: Tensor) => {
      const loss = sum(mul(w, a));
      loss.backward();
      return loss.detach();
    });
    const kept = [1, 2, 3].map((value) => {
      step(make([value]));
      const { grad } = w;
      w.grad = undefined;
      return grad;
    });
    expect(await Promise.all(kept.map((grad) => grad?.item()))).toEqual([1, 2, 3]);
    expect(step.traces).toBe(1);
    for (const grad of kept) grad?.dispose();
    step.dispose();
  });

  test("params of pointwise ops may change from step to step", async () => {
    using _ = openScope();
    const times = pointwise({ name: "times", inputs: ["x"], body: ([x], param) => e.mul(x, param("k")) });
    const w = fromArray(device, [1, 0, 0, 1], [2, 2]);
    for (const fuse of [false, true]) {
      let factor = 0;
      const step = compile(
        (a: Tensor) => {
          const k = everyStep(() => ({ k: factor }), changesNothing);
          const product = apply(times, [matmul(a, w)], k)[0];
          return [product, add(apply(times, [a], k)[0], 1)];
        },
        { fuse },
      );
      for (const value of [1, 2, 3]) {
        factor = value;
        const [product, sum1] = step(fromArray(device, [1, 2], [1, 2]));
        expect(await product.toArray()).toEqual(Float32Array.of(value, 2 * value));
        expect(await sum1.toArray()).toEqual(Float32Array.of(value + 1, 2 * value + 1));
      }
      step.dispose();
    }
  });

  test("warmUp and plan leave generators, counters and numbers of the next step as they are", async () => {
    using _ = openScope();
    const run = async (isCompiled: boolean): Promise<unknown> => {
      const generator = new Generator(4);
      const state = { steps: 0 };
      const body = (a: Tensor): Tensor => {
        everyStep(
          () => ({ steps: ++state.steps }),
          () => {
            state.steps--;
          },
        );
        return sum(dropout(a, 0.5, foldIn(generator.next(), 7)));
      };
      const step = compile(body, { fuse: false });
      const [short, long] = [24, 48].map((n) => make(Array.from({ length: n }, (__, i) => i + 1)));
      if (isCompiled) {
        step.plan(long);
        await step.warmUp(short);
        await step.warmUp(long);
        expect([generator.count, state.steps]).toEqual([0, 0]);
        const failing = compile((a: Tensor): Tensor => {
          body(a);
          throw new RangeError("no");
        });
        expect(() => failing(short)).toThrow("no");
        expect([generator.count, state.steps]).toEqual([0, 0]);
      }
      const seen: unknown[] = [];
      for (const x of [long, short, short, long, short]) {
        seen.push(await (isCompiled ? step : body)(x).item(), generator.count, state.steps);
      }
      step.dispose();
      return seen;
    };
    const eager = await run(false);
    expect(new Set(eager as unknown[]).size).toBeGreaterThan(8);
    expect(await run(true)).toEqual(eager);
  });

  test("nothing, once all is disposed, with or without a scope", async () => {
    const before = device.memory().liveBytes;
    const [w, x] = [make([1, 2], true), make([3, 4])];
    const step = compile((a: Tensor) => [mul(a, w), w.detach(), w]);
    for (const result of step(x)) result.dispose();
    const failing = compile((a: Tensor) => {
      const y = mul(a, w);
      if (y.size > 0) throw new RangeError("no");
      return y;
    });
    expect(() => failing(x)).toThrow("no");
    const warm = compile((a: Tensor) => mul(mul(a, a), w));
    const ready = warm.warmUp(x);
    warm.dispose();
    await ready;
    for (const each of [step, failing]) each.dispose();
    for (const tensor of [w, x]) tensor.dispose();
    expect(device.memory().liveBytes).toBe(before);
  });
});

test("maxPrograms must leave room for one", () => {
  expect(() => compile((a: Tensor) => a, { maxPrograms: 0 })).toThrow(
    "compile: maxPrograms must be a whole number from 1, got 0.",
  );
});
