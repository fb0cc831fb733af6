import { describe, expect, test } from "vitest";
import { createRandom, permutation } from "../src/random.ts";
import { argmax, createSampler } from "../src/sampling.ts";

const logits = Float32Array.from([0, 3, 1, 3, 2].map((x) => x));
const drawn = (options: Parameters<typeof createSampler>[0], count = 4000) => {
  const sample = createSampler({ temperature: 1, ...options });
  const counts = [0, 0, 0, 0, 0];
  for (let i = 0; i < count; i++) counts[sample(logits)]++;
  return counts.map((n) => n / count);
};

describe("sampling", () => {
  test("temperature 0 takes the first largest", () => {
    expect(createSampler()(logits)).toBe(1);
    expect(argmax(Float32Array.from([-5, -2, -9]))).toBe(1);
  });

  test("draws follow the softmax", () => {
    const weights = [...logits].map(Math.exp);
    const total = weights.reduce((a, b) => a + b, 0);
    drawn({}).forEach((share, i) => {
      expect(Math.abs(share - weights[i] / total)).toBeLessThan(0.03);
    });
  });

  test("top-k keeps the largest, the first of equal ones", () => {
    expect(drawn({ topK: 1 })).toEqual([0, 1, 0, 0, 0]);
    expect(drawn({ topK: 2 }).map((share) => share > 0)).toEqual([false, true, false, true, false]);
  });

  test("top-p keeps the smallest set that reaches the sum", () => {
    expect(drawn({ topP: 0.3 })).toEqual([0, 1, 0, 0, 0]);
    expect(drawn({ topP: 0.5 }).map((share) => share > 0)).toEqual([false, true, false, true, false]);
    expect(drawn({ topP: 0.95 }).map((share) => share > 0)).toEqual([false, true, true, true, true]);
  });

  test("the seed decides", () => {
    const run = (seed: number) => Array.from({ length: 20 }, createSamplerWith(seed));
    const createSamplerWith = (seed: number) => {
      const sample = createSampler({ temperature: 2, seed });
      return () => sample(logits);
    };
    expect(run(1)).toEqual(run(1));
    expect(run(1)).not.toEqual(run(2));
  });

  test("a not-a-number among the logits is refused", () => {
    expect(() => createSampler()(Float32Array.from([0, Number.NaN]))).toThrow(
      /^generate: the model's logits must be finite, got none or a not-a-number at token 1\./,
    );
  });
});

describe("random", () => {
  test("numbers lie in [0, 1) and fill it evenly", () => {
    const random = createRandom(7);
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 20_000; i++) counts[Math.floor(random() * 10)]++;
    for (const count of counts) expect(Math.abs(count - 2000)).toBeLessThan(200);
  });

  test("a permutation holds every number once; streams and large seeds differ", () => {
    const order = permutation(100, createRandom(3));
    expect([...order].sort((a, b) => a - b)).toEqual([...order.keys()]);
    expect(permutation(100, createRandom(3, 1))).not.toEqual(order);
    expect(permutation(100, createRandom(3 + 2 ** 32))).not.toEqual(order);
  });
});
