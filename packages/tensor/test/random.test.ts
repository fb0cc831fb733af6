import { readFileSync } from "node:fs";
import {
  adamWStep,
  bernoulli,
  type Device,
  dropout,
  foldIn,
  fromArray,
  keyOf,
  mul,
  normal,
  openCpu,
  randomBits,
  sum,
  sumOfSquares,
  uniform,
} from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { describe, expect, test } from "vitest";
import { threefry } from "../src/random/threefry.ts";

type Draw = {
  shape: number[];
  bits: number[];
  uniform: number[];
  uniformRange: number[];
  normal: number[];
  "bernoulli0.3": number[];
};
type Golden = {
  raw: { key: [number, number]; counter: [number, number]; out: number[] }[];
  partitionable: { seed: number; key: number[]; shapes: Draw[]; foldIn: { data: number; key: number[] }[] }[];
};
const golden: Golden = JSON.parse(
  readFileSync(new URL("../../../tools/golden/data/threefry.json", import.meta.url), "utf8"),
);
const devices: Device[] = [openCpu(), await openWebGpu()];

test("threefry gives JAX's words", () => {
  for (const { key, counter, out } of golden.raw) expect(threefry(key, ...counter)).toEqual(out);
});

test("keys of seeds and folded keys are JAX's", () => {
  for (const { seed, key, foldIn: folds } of golden.partitionable) {
    expect(keyOf(seed)).toEqual(key);
    for (const { data, key: folded } of folds) expect(foldIn(keyOf(seed), data)).toEqual(folded);
  }
});

function farthest(values: ArrayLike<number>, expected: readonly number[]): number {
  return Math.max(...expected.map((value, i) => Math.abs(value - values[i])));
}

describe.each(devices)("on $kind", (device) => {
  test("bits, uniform and bernoulli are JAX's bit for bit, normal to 2e-6", async () => {
    for (const { seed, shapes } of golden.partitionable) {
      const key = keyOf(seed);
      for (const draw of shapes) {
        expect([...(await randomBits(device, key, draw.shape).toArray())]).toEqual(draw.bits);
        expect([...(await uniform(device, key, draw.shape).toArray())]).toEqual(draw.uniform);
        expect([...(await bernoulli(device, key, draw.shape, 0.3).toArray())]).toEqual(draw["bernoulli0.3"]);
        const range = await uniform(device, key, draw.shape, { low: -0.25, high: 0.25 }).toArray();
        expect([...range]).toEqual(draw.uniformRange);
        const normals = await normal(device, key, draw.shape).toArray();
        normals.forEach((value, i) => {
          expect(Math.abs(value - draw.normal[i])).toBeLessThan(2e-6 * Math.max(1, Math.abs(draw.normal[i])));
        });
      }
    }
  });

  test("dropout is the bernoulli mask, scaled, also in the gradient", async () => {
    const key = keyOf(7);
    const values = Array.from({ length: 1000 }, (_, i) => i - 500);
    const x = fromArray(device, values, [10, 100], { requiresGrad: true });
    const y = dropout(x, 0.25, key);
    const mask = await bernoulli(device, key, [10, 100], 0.75).toArray();
    const kept = mask.filter((bit) => bit === 1).length;
    expect(kept).toBeGreaterThan(700);
    expect(kept).toBeLessThan(800);
    const scaled = values.map((value, i) => (value * mask[i] * 4) / 3);
    expect(farthest(await y.toArray(), scaled)).toBeLessThan(1e-4);
    sum(mul(y, y.detach())).backward();
    const gradient = (await x.grad?.toArray()) ?? [];
    expect(
      farthest(
        gradient,
        scaled.map((value) => (value * 4) / 3),
      ),
    ).toBeLessThan(1e-4);
  });

  test("sumOfSquares of many values", async () => {
    const values = Float32Array.from({ length: 100_003 }, (_, i) => (i % 7) - 3);
    const x = fromArray(device, values, [values.length]);
    expect(await sumOfSquares(x).item()).toBe(values.reduce((total, value) => total + value * value, 0));
    expect(await sumOfSquares(fromArray(device, [], [0])).item()).toBe(0);
    const p = fromArray(device, [1, 2], [2]);
    adamWStep(
      p,
      fromArray(device, [1, -1], [2]),
      fromArray(device, [0, 0], [2]),
      fromArray(device, [0, 0], [2]),
      { learningRate: 0.1, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, step: 1 },
    );
    const [a, b] = await p.toArray();
    expect(a).toBeCloseTo(0.9, 5);
    expect(b).toBeCloseTo(2.1, 5);
  });
});
