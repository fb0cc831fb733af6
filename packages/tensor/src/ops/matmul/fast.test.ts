import * as fc from "fast-check";
import { expect, test } from "vitest";
import { matmulFast } from "./fast.ts";
import { type MatmulAttrs, planMatmul } from "./plan.ts";
import { matmulReference } from "./reference.ts";

interface Case extends MatmulAttrs {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly batchA: readonly number[];
  readonly batchB: readonly number[];
  readonly seed: number;
}

/** The largest |fast − exact| as a share of what k roundings in f32 allow: k · 2⁻²⁴ · Σ|a||b|, plus that of the result. */
function worst({ m, n, k, batchA, batchB, seed, ...attrs }: Case, spoil = (_: Float32Array) => {}): number {
  const random = randomOf(seed);
  const values = (shape: readonly number[]) =>
    Float32Array.from({ length: shape.reduce((p, d) => p * d, 1) }, () => 2 * random() - 1);
  const shapeA = [...batchA, ...(attrs.transposeA ? [k, m] : [m, k])];
  const shapeB = [...batchB, ...(attrs.transposeB ? [n, k] : [k, n])];
  const plan = planMatmul({ shape: shapeA, dtype: "f32" }, { shape: shapeB, dtype: "f32" }, attrs);
  const a = values(shapeA);
  const b = values(shapeB);
  const size = plan.batchShape.reduce((p, d) => p * d, m * n);
  const fast = new Float32Array(size).fill(Number.NaN);
  const again = new Float32Array(size).fill(Number.NaN);
  const exact = new Float64Array(size);
  const sizes = new Float64Array(size);
  matmulFast(plan, a, b, fast);
  matmulFast(plan, a, b, again);
  expect(again).toEqual(fast);
  matmulReference(plan, a, b, exact);
  matmulReference(plan, a.map(Math.abs), b.map(Math.abs), sizes);
  spoil(fast);
  return fast.reduce((most, value, i) => {
    const share = Math.abs(value - exact[i]) / ((k + 1) * 2 ** -24 * sizes[i] || Number.MIN_VALUE);
    return Number.isNaN(share) ? Infinity : Math.max(most, share);
  }, 0);
}

function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const layout = { transposeA: fc.boolean(), transposeB: fc.boolean(), seed: fc.nat() };
const batches = fc.constantFrom<[number[], number[]]>(
  [[], []],
  [[3], [3]],
  [[2, 3], [3]],
  [
    [2, 1],
    [1, 3],
  ],
  [[1], [4]],
  [[0], [1]],
);

test("fast products differ from the exact ones by rounding only", () => {
  const size = fc.oneof(fc.nat(9), fc.nat(70));
  const cases = fc
    .record({ m: size, n: size, k: size, batches, ...layout })
    .map(({ batches: [batchA, batchB], ...rest }) => ({ ...rest, batchA, batchB }));
  fc.assert(
    fc.property(cases, (sizes) => {
      expect(worst(sizes)).toBeLessThanOrEqual(1);
    }),
  );
});

test.each([
  [1, 1, 1],
  [1, 700, 1000],
  [1, 9, 8192],
  [2, 7001, 8],
  [3, 50, 8196],
  [3, 5, 1601],
  [5, 1030, 769],
  [129, 513, 40],
  [1030, 9, 12],
  [140, 70, 1537],
])("fast products of %i × %i × %i, across every block size", (m, n, k) => {
  for (const transposeA of [false, true]) {
    for (const transposeB of [false, true]) {
      expect(worst({ m, n, k, batchA: [], batchB: [], transposeA, transposeB, seed: 1 })).toBeLessThanOrEqual(
        1,
      );
    }
  }
});

test("the budget notices one value that is off by a few roundings", () => {
  const sizes = { m: 20, n: 30, k: 40, batchA: [], batchB: [], transposeA: false, transposeB: true, seed: 1 };
  const spoil = (y: Float32Array) => {
    y[599] += 1e-4;
  };
  expect(worst(sizes, spoil)).toBeGreaterThan(1);
});

test("values beside a product's edge do not leak into it", () => {
  // NaN is what the padding of panels would read if anything of it were used.
  const attrs = { transposeA: false, transposeB: true };
  const plan = planMatmul({ shape: [2, 5, 7], dtype: "f32" }, { shape: [2, 9, 7], dtype: "f32" }, attrs);
  const a = new Float32Array(70).fill(1).fill(Number.NaN, 35);
  const b = new Float32Array(126).fill(1);
  const y = new Float32Array(90);
  matmulFast(plan, a, b, y);
  expect([...y.subarray(0, 45)]).toEqual(new Array(45).fill(7));
  expect([...y.subarray(45)].every(Number.isNaN)).toBe(true);
});

test("infinities and NaN pass through a product", () => {
  const plan = planMatmul(
    { shape: [4, 8], dtype: "f32" },
    { shape: [8, 8], dtype: "f32" },
    { transposeA: false, transposeB: false },
  );
  const a = new Float32Array(32).fill(1);
  a[0] = Infinity;
  a[8] = Number.NaN;
  const y = new Float32Array(32);
  matmulFast(plan, a, new Float32Array(64).fill(1), y);
  expect([y[0], y[8], y[16]]).toEqual([Infinity, Number.NaN, 8]);
});
