import {
  adamWStep,
  add,
  addInto,
  compile,
  everyStep,
  fromArray,
  mul,
  noGrad,
  openScope,
  sum,
  type Tensor,
  zeros,
} from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";

const { all } = await testDevices();

// Compiled steps move captured tensors into joint buffers; steps that were compiled before must notice.
describe.each(all)("steps with other wishes for one set of tensors on $name", (device) => {
  const make = (values: number[], requiresGrad = false) =>
    fromArray(device, values, [values.length], { requiresGrad });

  /** Parameters with their moments, and updates of any of them. */
  function updatable(count: number) {
    const parameters = Array.from({ length: count }, (_, k) => make([k + 1, k + 1.5], true));
    const moments = parameters.map(() => zeros(device, [2]));
    const squares = parameters.map(() => zeros(device, [2]));
    let steps = 0;
    const update = (which: readonly number[], gradients: readonly Tensor[]): void => {
      const of = (tensors: readonly Tensor[]) => which.map((i) => tensors[i]);
      const options = everyStep(
        () =>
          ({ learningRate: 0.1, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01, step: ++steps }) as const,
      );
      noGrad(() => adamWStep(of(parameters), gradients, of(moments), of(squares), options));
    };
    return { parameters, update };
  }

  async function valuesOf(tensors: readonly Tensor[]): Promise<number[][]> {
    return Promise.all(tensors.map(async (tensor) => [...(await tensor.toArray())]));
  }

  /** Values after updates of subsets that overlap, each through its own step. */
  async function overlapping(isCompiled: boolean): Promise<number[][][]> {
    using _ = openScope();
    const { parameters, update } = updatable(4);
    const gradients = parameters.map((__, k) => make([k - 1.5, 1]));
    const steps = [
      [0, 1],
      [0, 1, 2],
      [1, 2, 3],
      [3, 0],
    ].map((which) => {
      const body = (x: Tensor): Tensor => {
        update(
          which,
          which.map((i) => gradients[i]),
        );
        return add(x, parameters[which[0]]);
      };
      return isCompiled ? compile(body, { fuse: false }) : Object.assign(body, { dispose: () => {} });
    });
    const seen: number[][][] = [];
    for (const i of [0, 1, 2, 0, 3, 1, 2, 3, 0]) {
      const result = noGrad(() => steps[i](make([1, 2])));
      seen.push(await valuesOf([...parameters, result]));
    }
    for (const step of steps) step.dispose();
    return seen;
  }

  test("give what they give uncompiled, whoever was compiled first", async () => {
    expect(await overlapping(true)).toEqual(await overlapping(false));
  });

  test("do not move the tensors to and fro", async () => {
    using _ = openScope();
    const { parameters, update } = updatable(3);
    const gradients = parameters.map(() => make([1, 1]));
    const steps = [
      [0, 1],
      [1, 2],
    ].map((which) =>
      compile((y: Tensor) => {
        update(
          which,
          which.map((i) => gradients[i]),
        );
        return add(y, 1);
      }),
    );
    const x = make([1]);
    for (const step of steps) step(x);
    const { relocations } = device;
    for (let i = 0; i < 3; i++) for (const step of steps) step(x);
    expect(device.relocations).toBe(relocations);
    for (const step of steps) step.dispose();
  });

  test("may read one part of a joint buffer and change another", async () => {
    using _ = openScope();
    const { parameters, update } = updatable(2);
    const [a, b] = parameters;
    const adds = compile((y: Tensor) => {
      noGrad(() => addInto(a, b));
      return add(y, 1);
    });
    const x = make([0]);
    adds(x);
    const joins = compile((y: Tensor) => {
      update(
        [0, 1],
        [a, b].map(() => zeros(device, [2])),
      );
      return add(y, 1);
    });
    joins(x);
    const [before] = await valuesOf([a]);
    const [other] = await valuesOf([b]);
    adds(x);
    expect(await valuesOf([a])).toEqual([before.map((value, i) => Math.fround(value + other[i]))]);
    adds.dispose();
    joins.dispose();
  });

  /** Parameters after steps of two micro-batches each, whose gradients another step reads and takes away. */
  async function accumulated(isCompiled: boolean): Promise<number[][][]> {
    using _ = openScope();
    const { parameters, update } = updatable(3);
    const part = (x: Tensor): Tensor => {
      const loss = sum(parameters.map((w) => mul(mul(w, w), mul(w, x))).reduce((p, q) => add(p, q)));
      loss.backward();
      return loss.detach();
    };
    const finish = (loss: Tensor): Tensor => {
      update(
        [0, 1, 2],
        parameters.flatMap(({ grad }) => grad ?? []),
      );
      for (const parameter of parameters) {
        parameter.grad?.dispose();
        parameter.grad = undefined;
      }
      return add(loss, 1);
    };
    const [parts, finishes] = [compile(part, { fuse: false }), compile(finish, { fuse: false })];
    const seen: number[][][] = [];
    for (let i = 0; i < 4; i++) {
      const losses = [make([i, 1]), make([1, i])].map((x) => (isCompiled ? parts(x) : part(x)));
      const [loss] = [add(losses[0], losses[1])].map((both) => (isCompiled ? finishes(both) : finish(both)));
      seen.push(await valuesOf([loss.reshape([1]), ...parameters]));
    }
    if (isCompiled) expect([parts.traces, finishes.traces]).toEqual([2, 1]);
    parts.dispose();
    finishes.dispose();
    return seen;
  }

  test("accumulate gradients that another step joins", async () => {
    expect(await accumulated(true)).toEqual(await accumulated(false));
  });
});

test("a step for whose joint buffer there is no room runs without one", async () => {
  const count = 2 ** 18;
  // Eight tensors of 1 MiB: to join two of them takes 2 MiB for a moment.
  const tight = await openWebGpu({ maxBytes: 9 * 2 ** 20 });
  using _ = openScope();
  const [p, g, m, v] = [0, 1, 2, 3].map((k) =>
    [1, 2].map((value) => fromArray(tight, new Float32Array(count).fill(k * value), [count])),
  );
  const step = compile((x: Tensor) => {
    const options = { learningRate: 0.1, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, step: 1 } as const;
    adamWStep(p, g, m, v, options);
    return add(x, 1);
  });
  expect(await step(fromArray(tight, [1], [1])).item()).toBe(2);
  expect(tight.relocations).toBe(0);
  step.dispose();
  tight.close();
});
