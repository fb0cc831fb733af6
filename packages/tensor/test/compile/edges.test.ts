import {
  add,
  cast,
  checkpoint,
  compile,
  concat,
  dropout,
  fromArray,
  Generator,
  gt,
  matmul,
  mul,
  narrow,
  openCpu,
  openScope,
  sum,
  type Tensor,
  where,
} from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";

const { all } = await testDevices();

describe.each(all)("edges of compiled steps on $name", (device) => {
  const make = (values: number[], dtype: "f32" | "f16" | "i32" | "bool" = "f32") =>
    fromArray(device, values, [values.length], { dtype });
  /** Another device of the kind. */
  const openAnother = (options: { maxBytes?: number } = {}) =>
    device.kind === "cpu" ? openCpu(options) : openWebGpu(options);

  test.each([false, true])("values of all types take turns in one buffer, fused: %s", async (fuse) => {
    using _ = openScope();
    const body = (x: Tensor, half: Tensor, whole: Tensor, flag: Tensor): Tensor[] => {
      const twice = cast(add(half, half), "f32");
      const isMore = gt(x, 0);
      const chosen = where(isMore, twice, cast(whole, "f32"));
      const short = cast(chosen, "bf16");
      const parts = concat([narrow(short, 0, 1, 2), narrow(cast(half, "bf16"), 0, 0, 1)], 0);
      return [
        ...[chosen, short, isMore, cast(parts, "f32"), narrow(short, 0, 1, 2), narrow(half, 0, 1, 1)],
        ...[cast(isMore, "i32"), where(flag, x, twice)],
      ];
    };
    const step = compile(body, { fuse });
    for (const k of [1, 2]) {
      const numbers = [[k, -k, 3], [0.5, k, 2], [7, k, -9], [1, 0, 1]]; // biome-ignore format: a table
      const types = ["f32", "f16", "i32", "bool"] as const;
      const [a, b, c, d] = numbers.map((values, i) => make(values, types[i]));
      const expected = await Promise.all(body(a, b, c, d).map((tensor) => tensor.toArray()));
      // The same as views, of which those of half types do not begin at a word.
      const [p, q, r, s] = numbers.map((values, i) => narrow(make([1, ...values], types[i]), 0, 1, 3));
      for (const given of [step(a, b, c, d), step(p, q, r, s)])
        expect(await Promise.all(given.map((tensor) => tensor.toArray()))).toEqual(expected);
    }
    expect(step.traces).toBe(1);
    step.dispose();
  });

  test("a value that is returned twice, or is an argument or a part of one, is the caller's each time", async () => {
    using _ = openScope();
    const step = compile((a: Tensor) => {
      const y = add(a, 1);
      return [y, y, narrow(y, 0, 1, 1), a, narrow(a, 0, 1, 1)];
    });
    for (const k of [1, 2]) {
      const [first, ...others] = step(make([k, k + 1]));
      first.dispose();
      const values = await Promise.all(others.map((tensor) => tensor.toArray()));
      expect(values.map((each) => [...each])).toEqual([[k + 1, k + 2], [k + 2], [k, k + 1], [k + 1]]);
    }
    step.dispose();
  });

  test("a step that throws at another signature leaves the first program as it is", async () => {
    using _ = openScope();
    const step = compile((a: Tensor) => {
      if (a.size > 1) throw new RangeError("one value");
      return mul(a, 2);
    });
    expect(await step(make([1])).item()).toBe(2);
    expect(() => step(make([1, 2]))).toThrow("one value");
    expect(await step(make([4])).item()).toBe(8);
    expect(step.programs).toBe(1);
    step.dispose();
  });

  test("dropout in a checkpoint has the keys that it has uncompiled", async () => {
    const run = async (isCompiled: boolean): Promise<unknown> => {
      using _ = openScope();
      const generator = new Generator(3);
      const w = fromArray(device, [1, 2, 3, 4, 5, 6], [6], { requiresGrad: true });
      const body = (x: Tensor): (Tensor | undefined)[] => {
        const y = checkpoint((a: Tensor) => dropout(mul(a, w), 0.5, generator.next()), mul(x, w));
        const loss = sum(mul(y, y));
        loss.backward();
        const { grad } = w;
        w.grad = undefined;
        return [loss.detach(), grad];
      };
      const step = compile(body, { fuse: false });
      const seen: unknown[] = [];
      for (let i = 0; i < 4; i++) {
        const results = (isCompiled ? step : body)(make([1, 2, 3, 4, 5, i]));
        seen.push(await Promise.all(results.map((tensor) => tensor?.toArray())), generator.count);
      }
      step.dispose();
      return seen;
    };
    expect(await run(true)).toEqual(await run(false));
  });

  test("a step for which there is no room says so, moves nothing on and holds nothing", async () => {
    const small = await openAnother({ maxBytes: 3 * 2 ** 20 });
    const generator = new Generator(1);
    const x = fromArray(small, new Float32Array(2 ** 18), [2 ** 9, 2 ** 9]);
    const before = small.memory().liveBytes;
    const step = compile((a: Tensor) => {
      const b = matmul(a, a);
      const c = matmul(b, a);
      return matmul(dropout(matmul(c, b), 0.5, generator.next()), add(a, c));
    });
    for (let i = 0; i < 2; i++) expect(() => step(x)).toThrow("do not fit");
    expect(generator.count).toBe(0);
    step.dispose();
    expect(small.memory().liveBytes).toBe(before);
    x.dispose();
    small.close();
  });

  test("a closed device says so, and the step can still be disposed", async () => {
    const other = await openAnother();
    const x = fromArray(other, [1], [1]);
    const step = compile((a: Tensor) => add(mul(a, 2), 1));
    step(x);
    other.close();
    expect(() => step(x)).toThrow("closed");
    step.dispose();
  });
});
