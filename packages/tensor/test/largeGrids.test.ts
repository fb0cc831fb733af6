// More workgroups than one axis of a grid has: 65,535. The grid goes on in y there.
import {
  adamWStep,
  addRmsNorm,
  crossEntropy,
  embedding,
  fromArray,
  full,
  grad,
  noGrad,
  ones,
  openScope,
  rmsNorm,
  sumOfSquares,
  zeros,
} from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import { expect, test } from "vitest";

const { gpu } = await testDevices();
const ROWS = 65_535 + 3;

test("the gradient of an embedding, a workgroup for each row of the table", async () => {
  using _owner = openScope();
  const table = zeros(gpu, [ROWS, 2], { requiresGrad: true });
  const ids = fromArray(gpu, [ROWS - 1, 0, 65_535, ROWS - 1], [4], { dtype: "i32" });
  const dy = fromArray(gpu, [1, 2, 3, 4, 5, 6, 7, 8], [4, 2]);
  const [gradient] = grad(embedding(table, ids), [table], { gradient: dy });
  const values = await gradient.toArray();
  const found = [...values.entries()].filter(([, value]) => value !== 0);
  expect(found).toEqual([
    [0, 3],
    [1, 4],
    [2 * 65_535, 5],
    [2 * 65_535 + 1, 6],
    [2 * (ROWS - 1), 8],
    [2 * (ROWS - 1) + 1, 10],
  ]);
});

test("rows of norms and losses", async () => {
  using _owner = openScope();
  const x = full(gpu, [ROWS, 4], 3, { requiresGrad: true });
  const one = (await rmsNorm(x, undefined, 0).toArray()).every((value) => Math.abs(value - 1) < 1e-6);
  const [sum, normed] = addRmsNorm(x, x, undefined, 0);
  const both = (await sum.toArray()).every((value) => value === 6);
  const two = (await normed.toArray()).every((value) => Math.abs(value - 1) < 1e-6);
  expect([one, both, two]).toEqual([true, true, true]);
  const losses = await crossEntropy(x, zeros(gpu, [ROWS], { dtype: "i32" }), { reduction: "none" }).toArray();
  expect(losses.length).toBe(ROWS);
  expect(losses.every((loss) => Math.abs(loss - Math.log(4)) < 1e-6)).toBe(true);
  const [gradient] = grad(rmsNorm(x, undefined, 0), [x], { gradient: ones(gpu, [ROWS, 4]) });
  // All values of a row are equal and so is dy: nothing changes along it.
  expect((await gradient.toArray()).every((value) => Math.abs(value) < 1e-6)).toBe(true);
});

test("updates and sums of squares of one value at a time", async () => {
  using _owner = openScope();
  const size = 64 * 65_535 + 5; // no multiple of 4, so an invocation for each value
  const [p, g, m, v] = [full(gpu, [size], 2), ones(gpu, [size]), zeros(gpu, [size]), zeros(gpu, [size])];
  noGrad(() =>
    adamWStep(p, g, m, v, { learningRate: 0.5, betas: [0.5, 0.5], eps: 0, weightDecay: 0, step: 1 }),
  );
  expect((await p.toArray()).every((value) => Math.abs(value - 1.5) < 1e-6)).toBe(true);
  expect(await sumOfSquares(g).item()).toBe(size);
});
