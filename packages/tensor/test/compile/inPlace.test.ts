import {
  add,
  addInto,
  compile,
  copyInto,
  everyStep,
  fromArray,
  mul,
  openCpu,
  openScope,
  sin,
  sum,
  type Tensor,
  zeros,
} from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";

const { all } = await testDevices();

describe.each(all)("changes in place on $name", (device) => {
  const make = (values: number[]) => fromArray(device, values, [values.length]);

  test("a value that changes after its kernel could be fused stays apart from its readers", async () => {
    using _ = openScope();
    const step = (a: Tensor, b: Tensor) => {
      const p = sin(a);
      const c = add(p, b);
      const d = mul(c, p);
      addInto(c, b);
      return [c, d];
    };
    const compiled = compile(step);
    const args = [make([0.5, 1]), make([2, 3])] as const;
    const [c, d] = step(...args);
    const [fusedC, fusedD] = compiled(...args);
    // The same kernels but for roundings of numbers below 8.
    const isNear = async (one: Tensor, other: Tensor) => {
      const values = await one.toArray();
      for (const [i, value] of (await other.toArray()).entries())
        expect(Math.abs(values[i] - value)).toBeLessThan(8 * 2 ** -23);
    };
    await isNear(fusedC, c);
    await isNear(fusedD, d);
    compiled.dispose();
  });

  test("those that would be lost or done too often are refused", () => {
    using _ = openScope();
    const x = make([1, 2]);
    const intoArgument = compile((a: Tensor) => {
      addInto(a, x);
      return add(a, 1);
    });
    expect(() => intoArgument(x)).toThrow(
      "addInto: an argument of a compiled step must stay as it is, got a change in place, which the caller's tensor would not see. Return the new value, or take the tensor from outside of the step.",
    );
    const intoConstant = compile((a: Tensor) => {
      const total = fromArray(device, [0, 0], [2]);
      addInto(total, a);
      return total;
    });
    expect(() => intoConstant(x)).toThrow(
      "addInto: a tensor that is made from host values inside a compiled step must stay as it is, got a change in place: it is made once, and not again at every call. Change a clone() of it, or make it outside of the step.",
    );
  });

  test("a sum that the step makes anew begins anew", async () => {
    using _ = openScope();
    const step = compile((a: Tensor) => {
      const total = zeros(device, [2]);
      addInto(total, a);
      return total;
    });
    const x = make([1, 2]);
    for (let i = 0; i < 3; i++) expect(await step(x).toArray()).toEqual(Float32Array.of(1, 2));
    step.dispose();
  });

  test("an argument that the step changes from outside is refused where it is read later", async () => {
    using _ = openScope();
    const state = make([1]);
    const later = compile((a: Tensor) => {
      copyInto(state, add(state, 1));
      return mul(a, 1);
    });
    expect(await later(make([5])).item()).toBe(5);
    expect(() => later(state)).toThrow(
      "compile: argument tensor 0 must not be one that the step changes in place, got [1]. Pass a clone() of it, or take it from outside of the step alone.",
    );
    expect(await state.item()).toBe(2);
    const before = compile((a: Tensor) => {
      const next = mul(a, 10);
      copyInto(state, next);
      return next;
    });
    expect(await before(state).item()).toBe(20);
    expect(await before(state).item()).toBe(200);
    for (const step of [later, before]) step.dispose();
  });

  test("values without elements are returned", async () => {
    using _ = openScope();
    const step = compile((a: Tensor) => [mul(a, 2), sum(a), a]);
    for (let i = 0; i < 2; i++) {
      const [twice, total, same] = step(make([]));
      expect([...(await twice.toArray()), ...(await same.toArray()), await total.item()]).toEqual([0]);
    }
    step.dispose();
  });

  test("an error in the arguments moves nothing on", async () => {
    using _ = openScope();
    let count = 0;
    const step = compile((a: Tensor) => {
      everyStep(() => ({ count: ++count }));
      return add(a, 1);
    });
    const [x, gone] = [make([1]), make([2])];
    step(x);
    gone.dispose();
    expect(() => step(gone)).toThrow("compile: a tensor [1] was disposed and cannot be used.");
    expect(count).toBe(1);
    step.dispose();
  });

  test("tensors of two devices are refused", () => {
    using _ = openScope();
    const other = openCpu();
    const w = fromArray(other, [1], [1]);
    const got = `got ${device.kind} and cpu. Move one with await tensor.to(device).`;
    expect(() => compile((a: Tensor) => [add(a, 1), add(w, 1)])(make([1]))).toThrow(
      `add: all tensors of a compiled step must be on one device, ${got}`,
    );
    expect(() => compile((a: Tensor, b: Tensor) => [add(a, 1), add(b, 1)])(make([1]), w)).toThrow(
      `compile: all arguments must be on one device, ${got}`,
    );
  });
});
