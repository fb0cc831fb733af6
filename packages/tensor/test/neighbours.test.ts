// Ops that take many tensors at once: one dispatch where they lie side by side, and the same bits wherever they lie.
import {
  adamWStep,
  concat,
  type Device,
  fromArray,
  keep,
  mul,
  noGrad,
  openScope,
  reshape,
  sgdStep,
  slice,
  sumOfSquares,
  type Tensor,
} from "@graft/tensor";
import { testDevices, valuesOf } from "@graft/tensor/testing";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

const { gpu, all } = await testDevices();

const step = { learningRate: 0.1, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01, step: 3 } as const;

/** `sizes` tensors in storages of their own. */
function apart(device: Device, sizes: readonly number[], lane: number): Tensor[] {
  return sizes.map((size, k) =>
    fromArray(device, valuesOf(lane === 3 ? "positive" : "normal", 7 + k, size, lane), [size]),
  );
}

/** The same values as views of one storage, the groups of `cuts` with a value between them that belongs to nobody. */
function joined(tensors: readonly Tensor[], cuts: readonly number[] = []): Tensor[] {
  const { device } = tensors[0];
  const gap = fromArray(device, [0.125], [1]);
  const parts = tensors.flatMap((tensor, k) => (cuts.includes(k) ? [gap, tensor] : [tensor]));
  const flat = concat(parts.map((tensor) => reshape(tensor, [tensor.size])));
  let at = 0;
  return tensors.map(({ size }, k) => {
    if (cuts.includes(k)) at++;
    at += size;
    return slice(flat, 0, at - size, at);
  });
}

const bits = async (tensors: readonly Tensor[]): Promise<number[][]> =>
  Promise.all(tensors.map(async (tensor) => Array.from(await tensor.toArray())));

/** Runs `fn` on lists of which every tensor stands alone, one call for each, and on the same lists side by side. */
async function bothWays(
  device: Device,
  sizes: readonly number[],
  cuts: readonly number[],
  fn: (p: readonly Tensor[], g: readonly Tensor[], m: readonly Tensor[], v: readonly Tensor[]) => void,
) {
  using _owner = openScope();
  const lists = (): Tensor[][] => [0, 1, 2, 3].map((lane) => apart(device, sizes, lane));
  const one = lists();
  noGrad(() => {
    for (const k of sizes.keys()) {
      const [p, g, m, v] = one.map((list) => [list[k]]);
      fn(p, g, m, v);
    }
  });
  const alone = await bits(one.flat());
  const two = lists().map((list) => joined(list, cuts));
  const [p, g, m, v] = two;
  const before = gpu.counters.dispatches;
  noGrad(() => fn(p, g, m, v));
  const dispatches = gpu.counters.dispatches - before;
  return { alone, together: await bits(two.flat()), dispatches };
}

const sizeLists = fc.array(
  fc.oneof(
    fc.nat({ max: 40 }),
    fc.nat({ max: 10 }).map((n) => 4 * n),
  ),
  {
    minLength: 1,
    maxLength: 6,
  },
);

describe.each(all)("on $name", (device) => {
  test.each([
    ["AdamW", (p, g, m, v) => adamWStep(p, g, m, v, step)],
    ["SGD", (p, g, _m, v) => sgdStep(p, g, v, { learningRate: 0.1, momentum: 0.9, weightDecay: 0.1 })],
  ] satisfies [string, Parameters<typeof bothWays>[3]][])(
    "%s of many at once gives the bits of one at a time",
    async (_, fn) => {
      await fc.assert(
        fc.asyncProperty(
          sizeLists,
          fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 2 }),
          async (sizes, cuts) => {
            const { alone, together } = await bothWays(device, sizes, cuts, fn);
            expect(together).toEqual(alone);
          },
        ),
        { numRuns: 20 },
      );
      const { alone } = await bothWays(device, [5, 8], [], fn);
      const other = await bothWays(device, [5, 8], [], (p, g, m, v) =>
        fn(
          p,
          g.map((x) => mul(x, 1.001)),
          m,
          v,
        ),
      );
      expect(other.alone).not.toEqual(alone);
    },
  );

  test("sumOfSquares has the same bits side by side, apart, and in one tensor", async () => {
    await fc.assert(
      fc.asyncProperty(sizeLists, fc.boolean(), async (small, large) => {
        using _owner = openScope();
        const sizes = large ? [...small, 65_535, 12, 70_001, 8] : small;
        const tensors = apart(device, sizes, 0);
        const sums = [
          sumOfSquares(tensors),
          sumOfSquares(joined(tensors)),
          sumOfSquares(joined(tensors, [1, 3])),
          sumOfSquares(concat(tensors.map((tensor) => reshape(tensor, [tensor.size])))),
        ];
        const [first, ...others] = (await bits(sums)).flat();
        for (const other of others) expect(other).toBe(first);
      }),
      { numRuns: 10 },
    );
  });

  test("a value between two that are changed stays as it was", async () => {
    using _owner = openScope();
    const lists = [0, 1, 2, 3].map((lane) => {
      const flat = fromArray(device, valuesOf("positive", 1, 9, lane), [9]);
      return { flat, parts: [slice(flat, 0, 0, 4), slice(flat, 0, 5, 9)] };
    });
    const before = await bits(lists.map(({ flat }) => flat));
    const [p, g, m, v] = lists.map(({ parts }) => parts);
    noGrad(() => adamWStep(p, g, m, v, step));
    const after = await bits(lists.map(({ flat }) => flat));
    for (const k of [0, 2, 3])
      expect(after[k].map((value, i) => value === before[k][i])).toEqual(before[k].map((_, i) => i === 4));
  });

  test("a scale on the device is a scale before", async () => {
    using _owner = openScope();
    const [one, two] = [0, 1].map(() => [0, 1, 2, 3].map((lane) => apart(device, [33, 64], lane)));
    const scale = fromArray(device, [0.3], []);
    noGrad(() => {
      adamWStep(one[0], one[1], one[2], one[3], step, scale);
      adamWStep(
        two[0],
        two[1].map((g) => mul(g, scale)),
        two[2],
        two[3],
        step,
      );
    });
    expect(await bits([...one[0], ...one[2], ...one[3]])).toEqual(
      await bits([...two[0], ...two[2], ...two[3]]),
    );
  });
});

test("a dispatch for each piece of memory, on the GPU", async () => {
  const sizes = [8, 12, 16, 5, 4];
  const adam: Parameters<typeof bothWays>[3] = (p, g, m, v) => adamWStep(p, g, m, v, step);
  expect((await bothWays(gpu, sizes, [], adam)).dispatches).toBe(1);
  expect((await bothWays(gpu, sizes, [2], adam)).dispatches).toBe(2);
  using _owner = openScope();
  const tensors = apart(gpu, sizes, 0);
  const views = joined(tensors);
  const count = (list: readonly Tensor[]): number => {
    const before = gpu.counters.dispatches;
    keep(sumOfSquares(list)).dispose();
    return gpu.counters.dispatches - before;
  };
  expect(count(views)).toBe(2);
  expect(count(tensors)).toBe(sizes.length + 1);
});
