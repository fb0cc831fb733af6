import {
  add,
  checkpoint,
  copyInto,
  type Device,
  dropout,
  enableGrad,
  eq,
  exp,
  fromArray,
  Generator,
  grad,
  isGradEnabled,
  keep,
  mul,
  noGrad,
  openScope,
  scope,
  sin,
  sum,
  type Tensor,
} from "@graft/tensor";
import { assertSameMemory, testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";
import { doubleInPlace, handOn, leaf, read, silent } from "./support.ts";

const { reference, gpu } = await testDevices();

describe.each([reference, gpu] as Device[])("on $name", (device) => {
  const x2 = (values = [1, 2]): Tensor => fromArray(device, values, [values.length], { requiresGrad: true });

  test("two backwards add up", async () => {
    const x = x2();
    sum(x.mul(3)).backward();
    sum(mul(x, x)).backward();
    expect(await read(x.grad)).toEqual([5, 7]);
    x.grad?.dispose();
    x.grad = undefined;
    sum(x).backward();
    expect(await read(x.grad)).toEqual([1, 1]);
  });

  test("a tensor with a gradient of its own needs no scalar loss", async () => {
    const x = x2();
    x.mul(2).backward({ gradient: fromArray(device, [10, 100], [2]) });
    expect(await read(x.grad)).toEqual([20, 200]);
  });

  test("a leaf is its own gradient's loss", async () => {
    const x = fromArray(device, [4], [], { requiresGrad: true });
    x.backward();
    expect(await read(x.grad)).toEqual([1]);
  });

  test("only leaves keep a gradient", () => {
    const x = x2();
    const y = x.mul(2);
    sum(y).backward();
    expect(y.isLeaf).toBe(false);
    expect(y.grad).toBeUndefined();
  });

  test("grad touches no .grad, and gives gradients of values in the middle", async () => {
    const x = x2();
    const y = x.mul(2);
    const [dy, dx] = grad(sum(mul(y, y)), [y, x]);
    expect(await read(dy)).toEqual([4, 8]);
    expect(await read(dx)).toEqual([8, 16]);
    expect(x.grad).toBeUndefined();
  });

  test("an unused input is an error, or undefined with allowUnused", () => {
    const [x, y] = [x2(), x2([5])];
    expect(() => grad(sum(x), [x, y])).toThrow(
      "grad: the loss does not depend on inputs[1] [1]. Pass { allowUnused: true } to get undefined for it.",
    );
    expect(grad(sum(x), [y], { allowUnused: true })).toEqual([undefined]);
  });

  test("noGrad records nothing, and enableGrad inside records again", async () => {
    const x = x2();
    const [inside, again] = noGrad(() => {
      expect(isGradEnabled()).toBe(false);
      return [x.mul(2), enableGrad(() => x.mul(2))];
    });
    expect(isGradEnabled()).toBe(true);
    expect([inside.requiresGrad, inside.isLeaf, again.requiresGrad]).toEqual([false, true, true]);
    expect(() => sum(inside).backward()).toThrow(
      "backward: nothing was recorded for this tensor. It was made under noGrad, or no input had requiresGrad.",
    );
    expect(() =>
      noGrad(() => {
        throw new Error("inside");
      }),
    ).toThrow("inside");
    expect(isGradEnabled()).toBe(true);
  });

  test("an async function in noGrad or scope is an error", () => {
    expect(() => noGrad(async () => {})).toThrow(
      "noGrad: fn must be synchronous, got an async function. Await outside of noGrad.",
    );
    expect(() => scope(async () => {})).toThrow(
      "scope: fn must be synchronous, got an async function. Use `using s = openScope()` around awaits.",
    );
    expect(isGradEnabled()).toBe(true);
  });

  test("a detached branch gets nothing", async () => {
    const x = x2();
    sum(mul(x, x.detach())).backward();
    expect(await read(x.grad)).toEqual([1, 2]);
    expect(x.detach().requiresGrad).toBe(false);
  });

  test("a record is used once, unless it is retained", async () => {
    const x = x2([3]);
    const loss = mul(x, x);
    loss.backward({ retainGraph: true });
    loss.backward();
    expect(await read(x.grad)).toEqual([12]);
    expect(() => loss.backward()).toThrow(
      "backward: the record of mul was freed by an earlier backward. Pass { retainGraph: true } to the first one.",
    );
  });

  test("the loss must be a scalar, and its gradient must have its shape", () => {
    const x = x2();
    expect(() => x.mul(2).backward()).toThrow(
      "backward: the loss must be a scalar, got [2]. Reduce it first, for example mean(loss).",
    );
    expect(() => x.mul(2).backward({ gradient: fromArray(device, [1], [1]) })).toThrow(
      "backward: gradient must be [2], the shape of the tensor, got [1].",
    );
    expect(() => grad(sum(x), [x2().detach()])).toThrow(
      "grad: inputs[0] [2] does not require a gradient. Set requiresGrad = true before it is used.",
    );
  });

  test("requiresGrad is for leaves of a float type", () => {
    const y = x2().mul(2);
    expect(() => {
      y.requiresGrad = false;
    }).toThrow(
      "requiresGrad: only a leaf can be changed, this tensor was made by a recorded op. Use detach().",
    );
    expect(() => fromArray(device, [1], [1], { dtype: "i32", requiresGrad: true })).toThrow(
      "requiresGrad: the dtype must be a float type, got i32.",
    );
    expect(eq(y, y).requiresGrad).toBe(false);
  });

  test("a value changed in place after it was saved is an error that names both ops", async () => {
    const x = x2();
    const other = fromArray(device, [3, 4], [2]);
    const loss = sum(mul(x, other));
    doubleInPlace(other);
    expect(() => loss.backward()).toThrow(
      "backward: mul saved a tensor that doubleInPlace changed in place afterwards. Use the op that makes a new tensor, or change it after backward.",
    );
    const fine = sum(add(x, other));
    doubleInPlace(other);
    fine.backward();
    expect(await read(other)).toEqual([12, 16]);
    expect(await read(x.grad)).toEqual([1, 1]);
  });

  test("a tensor that requires a gradient is changed in place under noGrad only", async () => {
    const x = x2();
    expect(() => doubleInPlace(x)).toThrow(
      "doubleInPlace: a tensor that requires a gradient cannot be changed in place while recording. Wrap the call in noGrad.",
    );
    noGrad(() => doubleInPlace(x));
    expect(await read(x)).toEqual([2, 4]);
  });

  test("a value that requires a gradient does not lose it in a change in place", async () => {
    const [x, target] = [x2(), fromArray(device, [5, 5], [2])];
    expect(() => copyInto(target, x)).toThrow(
      "copyInto: a change in place is not recorded, and an input that requires a gradient would lose it. Use detach on it, or wrap the call in noGrad.",
    );
    copyInto(target, x.detach());
    expect(await read(target)).toEqual([1, 2]);
  });

  test("a view shares what is changed in place", () => {
    const x = x2([1, 2]);
    const base = fromArray(device, [3, 4], [2]);
    const loss = sum(mul(x, base.reshape([2, 1]).reshape([2])));
    doubleInPlace(base);
    expect(() => loss.backward()).toThrow(/^backward: mul saved a tensor that doubleInPlace changed/);
  });

  test("the loss may leave its scope before backward", async () => {
    const x = x2();
    const start = device.memory();
    const loss = scope(() => {
      const y = mul(x, x);
      return sum(mul(y, y));
    });
    loss.backward();
    loss.dispose();
    expect(await read(x.grad)).toEqual([4, 32]);
    x.grad?.dispose();
    x.grad = undefined;
    assertSameMemory(device, start, "after backward outside of the scope");
  });

  test("a disposed tensor is an error, with what to do", async () => {
    const x = x2();
    const gone = scope(() => {
      const inner = x.mul(2);
      return { keepNothing: inner.shape, inner: () => inner };
    }).inner();
    const words =
      "mul: a tensor [2] was disposed and cannot be used. Return it from its scope, or keep() it.";
    expect(() => gone.mul(2)).toThrow(words);
    await expect(gone.toArray()).rejects.toThrow(words.replace("mul", "toArray"));
    expect(() => gone.detach()).toThrow(words.replace("mul", "detach"));
    gone.dispose();
    expect(gone.disposed).toBe(true);
  });

  test("a gradient that is one of the saved values outlives the record", async () => {
    const [a, b] = [x2([2, 3]), x2([5, 7])];
    sum(mul(a, b)).backward();
    expect(await read(a.grad)).toEqual([5, 7]);
    expect(await read(b.grad)).toEqual([2, 3]);
  });
});

test("a rule may hand on a saved value as the gradient", async () => {
  const [x, c] = [leaf(reference, 2, 1), leaf(reference, 2, 2, false)];
  sum(handOn(x, c)).backward();
  expect(await read(x.grad)).toEqual(await read(c));
  expect(c.disposed).toBe(false);
});

test("an op without a gradient says so where it is recorded", () => {
  const x = leaf(reference, 2, 1);
  expect(() => silent(x)).toThrow(
    "silent: this op has no gradient (it is a step function). Use detach or noGrad around it.",
  );
  expect(silent(x.detach()).requiresGrad).toBe(false);
});

test("tensors of two devices are an error", () => {
  const a = fromArray(reference, [1], [1]);
  const b = fromArray(gpu, [1], [1]);
  expect(() => add(a, b)).toThrow(/^add: all inputs must be on one device, got cpu and webgpu\./);
});

describe.each([reference, gpu] as Device[])("checkpoint on $name", (device) => {
  test("gives the same bits as no checkpoint, with parameters and dropout", async () => {
    const run = async (checkpointed: boolean): Promise<unknown> => {
      const random = new Generator(7);
      const w = leaf(device, 4, 2);
      const x = leaf(device, 4, 1);
      const block = (h: Tensor): Tensor => dropout(sin(mul(h, w)), 0.5, random.next()).add(h);
      const layer = (h: Tensor): Tensor => (checkpointed ? checkpoint(block, h) : block(h));
      const y = layer(layer(layer(x)));
      const loss = sum(mul(y, y));
      loss.backward();
      return [await read(loss), await read(x.grad), await read(w.grad), random.count];
    };
    expect(await run(true)).toEqual(await run(false));
  });

  test("keeps less for backward", () => {
    const held = (checkpointed: boolean): number => {
      const owner = openScope();
      try {
        const x = leaf(device, 1000, 1);
        const block = (h: Tensor): Tensor => sin(sin(sin(sin(h))));
        const before = device.memory().liveBytes;
        keep(sum(scope(() => (checkpointed ? checkpoint(block, x) : block(x))))).dispose();
        return device.memory().liveBytes - before;
      } finally {
        owner[Symbol.dispose]();
      }
    };
    expect(held(true)).toBeLessThan(held(false) / 2);
  });

  test("several outputs, and one that is not used", async () => {
    const run = async (wrap: (fn: (a: Tensor, b: Tensor) => Tensor[], a: Tensor, b: Tensor) => Tensor[]) => {
      const [a, b] = [leaf(device, 3, 1), leaf(device, 3, 2)];
      const [p, , r] = wrap((u, v) => [u.mul(v), exp(u), sin(v)], a, b);
      sum(p.mul(r)).backward();
      return [await read(a.grad), await read(b.grad)];
    };
    expect(await run((fn, a, b) => checkpoint(fn, a, b))).toEqual(await run((fn, a, b) => fn(a, b)));
  });

  test("a value from outside that is not a leaf is differentiated once", async () => {
    const run = async (wrap: (fn: (h: Tensor) => Tensor, h: Tensor) => Tensor) => {
      const [x, w] = [leaf(device, 3, 1), leaf(device, 3, 2)];
      const outside = sin(mul(w, w));
      const y = wrap((h) => mul(mul(h, outside), w), x.mul(2));
      const loss = sum(mul(y, outside));
      loss.backward();
      return [await read(loss), await read(x.grad), await read(w.grad)];
    };
    expect(await run((fn, h) => checkpoint(fn, h))).toEqual(await run((fn, h) => fn(h)));
  });

  test("what fn returns may come from outside", async () => {
    const w = leaf(device, 3, 2);
    const y = checkpoint((h) => [h, w], leaf(device, 3, 1));
    sum(mul(y[0], y[1])).backward();
    expect(await read(w.grad)).toEqual(await read(leaf(device, 3, 1)));
  });

  test("checkpoints nest", async () => {
    const run = async (wrap: (fn: (h: Tensor) => Tensor, h: Tensor) => Tensor) => {
      const [x, w] = [leaf(device, 3, 1), leaf(device, 3, 2)];
      const inner = (h: Tensor): Tensor => sin(mul(h, w));
      const outer = (h: Tensor): Tensor => wrap(inner, wrap(inner, h)).mul(w);
      sum(wrap(outer, x)).backward();
      return [await read(x.grad), await read(w.grad)];
    };
    expect(await run(checkpoint)).toEqual(await run((fn, h) => fn(h)));
  });

  test("leaves nothing behind, and does nothing under noGrad", () => {
    const [x, w] = [leaf(device, 3, 1), leaf(device, 3, 2)];
    const start = device.memory();
    scope(() => {
      sum(checkpoint((h) => mul(h, w), x)).backward();
    });
    x.grad?.dispose();
    w.grad?.dispose();
    scope(() => {
      expect(noGrad(() => checkpoint((h) => mul(h, w), x)).requiresGrad).toBe(false);
    });
    assertSameMemory(device, start, "after checkpoint and backward");
  });

  test("gradients of gradients are refused", () => {
    const x = leaf(device, 3, 1);
    expect(() => grad(sum(checkpoint((h) => mul(h, h), x)), [x], { createGraph: true })).toThrow(
      "checkpoint: gradients of gradients do not pass through checkpoint. Call backward without createGraph, or the function without checkpoint.",
    );
  });
});
