import {
  adamWStep,
  add,
  compile,
  dropout,
  everyStep,
  fromArray,
  Generator,
  keep,
  matmul,
  mean,
  mul,
  noGrad,
  ones,
  openScope,
  scope,
  square,
  sub,
  sum,
  type Tensor,
  tanh,
  zeros,
} from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";

const { all } = await testDevices();

describe.each(all)("compile on $name", (device) => {
  const make = (values: number[], shape: number[]) => fromArray(device, values, shape);
  /** Values in [-1, 1) that differ from place to place. */
  const wave = (shape: number[], seed = 1) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return make(
      Array.from({ length: size }, (_, i) => Math.sin(seed * 12.9898 + i * 78.233)),
      shape,
    );
  };

  test("a forward pass gives the same bits, for new values too", async () => {
    using _ = openScope();
    const weight = wave([5, 3]);
    const forward = (x: Tensor) => ({ y: tanh(matmul(x, weight)), total: sum(x) });
    const step = compile(forward);
    for (const seed of [1, 2, 3]) {
      const x = wave([4, 5], seed);
      const expected = forward(x);
      const given = step(x);
      expect(await given.y.toArray()).toEqual(await expected.y.toArray());
      expect(await given.total.toArray()).toEqual(await expected.total.toArray());
    }
    expect(step.traces).toBe(1);
    step.dispose();
  });

  test("a number is a scalar that may change without a new trace", async () => {
    using _ = openScope();
    const step = compile((a: Tensor, factor: Tensor) => mul(a, factor));
    const x = make([1, 2], [2]);
    expect(await step(x, 2).toArray()).toEqual(Float32Array.of(2, 4));
    expect(await step(x, 3).toArray()).toEqual(Float32Array.of(3, 6));
    expect(step.traces).toBe(1);
    step.dispose();
  });

  test("results stay what they were when the step runs again", async () => {
    using _ = openScope();
    const step = compile((x: Tensor) => add(x, 1));
    const first = step(make([1], [1]));
    const second = step(make([5], [1]));
    expect([await first.item(), await second.item()]).toEqual([2, 6]);
    step.dispose();
  });

  function forget(parameter: Tensor): void {
    parameter.grad?.dispose();
    parameter.grad = undefined;
  }

  /** The same training on its own tensors, eager or compiled. */
  async function train(compiled: boolean): Promise<number[]> {
    using _ = openScope();
    const x = wave([8, 6], 3);
    const w = wave([6, 4], 7);
    w.requiresGrad = true;
    const m = zeros(device, [6, 4]);
    const v = zeros(device, [6, 4]);
    const generator = new Generator(5);
    let steps = 0;
    const options = { learningRate: 0.1, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01 } as const;
    const body = (input: Tensor) =>
      scope(() => {
        const loss = mean(square(dropout(tanh(matmul(input, w)), 0.3, generator.next())));
        loss.backward();
        const attrs = everyStep(() => ({ ...options, learningRate: 0.1 / (steps + 1), step: ++steps }));
        const { grad } = w;
        if (grad === undefined) throw new Error("no gradient");
        noGrad(() => adamWStep(w, grad, m, v, attrs));
        grad.dispose();
        w.grad = undefined;
        return loss;
      });
    const step = compile(body, { fuse: false });
    const losses: number[] = [];
    for (let i = 0; i < 5; i++) {
      const loss = compiled ? step(x) : body(x);
      losses.push(await loss.item());
    }
    if (compiled) expect(step.traces).toBe(1);
    losses.push(...(await w.toArray()), generator.count, steps);
    step.dispose();
    return losses;
  }

  test("a training step with dropout and a schedule gives the same bits", async () => {
    expect(await train(true)).toEqual(await train(false));
  });

  test("gradients that the step leaves are left at every call, and accumulate as uncompiled", async () => {
    using _ = openScope();
    const w = make([1, 2], [2]);
    w.requiresGrad = true;
    const step = compile((a: Tensor) => {
      const loss = sum(mul(w, a));
      loss.backward();
      return loss;
    });
    const x = make([3, 4], [2]);
    const gradient = async () => (w.grad === undefined ? undefined : [...(await w.grad.toArray())]);
    step(x);
    expect(await gradient()).toEqual([3, 4]);
    step(x);
    expect(await gradient()).toEqual([6, 8]);
    step(x);
    expect(await gradient()).toEqual([9, 12]);
    expect(step.traces).toBe(2);
    forget(w);
    step(x);
    expect(await gradient()).toEqual([3, 4]);
    expect(step.traces).toBe(2);
    forget(w);
    step.dispose();
  });

  test("gradients accumulate in place, in a dispatch each, and shared ones stay apart", async () => {
    using _ = openScope();
    const [a, b] = [make([1, 2], [2]), make([3, 4], [2])];
    a.requiresGrad = true;
    b.requiresGrad = true;
    const step = compile((input: Tensor) => {
      // Both get the gradient `input`, which is one value.
      const loss = sum(mul(add(a, b), input));
      loss.backward();
      return loss;
    });
    const x = make([5, 6], [2]);
    for (let i = 0; i < 3; i++) step(x);
    const values = async (leaf: Tensor) =>
      leaf.grad === undefined ? undefined : [...(await leaf.grad.toArray())];
    expect([await values(a), await values(b)]).toEqual([
      [15, 18],
      [15, 18],
    ]);
    expect(step.plan(x).byOp.get("addInto")).toBe(2);
    expect(step.plan(x).byOp.get("copyInto")).toBeUndefined();
    forget(a);
    forget(b);
    step.dispose();
  });

  test("plan takes nothing, and is what the step then takes", async () => {
    using _ = openScope();
    const x = wave([64, 64]);
    const step = compile((a: Tensor) => sum(tanh(matmul(tanh(matmul(a, a)), a))));
    const before = device.memory().liveBytes;
    const { bytes } = step.plan(x);
    expect(device.memory().liveBytes).toBe(before);
    const result = step(x);
    const given = result.bytes;
    result.dispose();
    expect(given).toBe(4);
    expect(device.memory().liveBytes - before).toBe(bytes);
    step.dispose();
    expect(device.memory().liveBytes).toBe(before);
  });

  test("programs of several lengths share their buffers", async () => {
    using _ = openScope();
    const w = wave([16, 16], 2);
    const body = (a: Tensor) => scope(() => tanh(matmul(tanh(matmul(a, w)), w)));
    const step = compile(body);
    const [long, short] = [wave([48, 16], 3), wave([5, 16], 4)];
    const before = device.memory().liveBytes;
    for (const x of [short, long, short, long]) {
      const given = step(x);
      using expected = body(x);
      expect(await given.toArray()).toEqual(await expected.toArray());
      given.dispose();
    }
    expect([step.traces, step.programs]).toEqual([2, 2]);
    expect(device.memory().liveBytes - before).toBeLessThan(
      step.plan(long).bytes + device.footprint("f32", 16),
    );
    step.dispose();
  });

  test("steps after the first make no objects", async () => {
    using _ = openScope();
    const x = wave([16, 16]);
    const w = wave([16, 16], 2);
    const step = compile((a: Tensor) => mean(sub(matmul(a, w), a)));
    for (let i = 0; i < 2; i++) step(x).dispose();
    const { buffersCreated, bindGroupsCreated, pipelinesCreated, readBacks } = device.counters;
    for (let i = 0; i < 3; i++) step(x).dispose();
    if (device.kind === "webgpu") expect(device.counters.buffersCreated).toBe(buffersCreated);
    expect(device.counters).toMatchObject({ bindGroupsCreated, pipelinesCreated, readBacks });
    step.dispose();
  });

  test("what is not synchronous or reads values is refused", async () => {
    using _ = openScope();
    const x = ones(device, [1]);
    const asynchronous = compile(async (a: Tensor) => a);
    expect(() => asynchronous(x)).toThrow(
      "compile: the step must be synchronous, got an async function. Read values outside of it.",
    );
    let item: Promise<number> | undefined;
    const reading = compile((a: Tensor) => {
      item = a.item();
      return a;
    });
    expect(() => reading(x)).toThrow(
      "item: values cannot be read inside a compiled step: it is traced without them. Return the tensor and read it outside; choose between values with where().",
    );
    expect(item).toBeUndefined();
    let leaked: Tensor | undefined;
    const leaking = compile((a: Tensor) => {
      leaked = keep(add(a, 1));
      return a;
    });
    leaking(x);
    await expect(leaked?.item()).rejects.toThrow(
      "toArray: the tensor was made inside a compiled step and has no values here. Return it from the step.",
    );
    expect(() => add(leaked as Tensor, 1)).toThrow("add: the tensor was made inside a compiled step");
  });
});
