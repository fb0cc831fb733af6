// A sum and its norm become one run of a compiled step, where that changes nothing.
import {
  add,
  clone,
  compile,
  copyInto,
  fromArray,
  layerNorm,
  mul,
  noGrad,
  openScope,
  reshape,
  rmsNorm,
  type Tensor,
} from "@graft/tensor";
import { testDevices, valuesOf } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";

const { gpu: device } = await testDevices();

const make = (shape: readonly number[], seed: number): Tensor =>
  fromArray(
    device,
    valuesOf(
      "normal",
      seed,
      shape.reduce((a, b) => a * b, 1),
    ),
    shape,
  );

type Step = (x: Tensor, y: Tensor, weight: Tensor) => Tensor | readonly Tensor[];

const fused: Record<string, Step> = {
  "the sum is also read afterwards": (x, y, weight) => {
    const h = add(x, y);
    return add(h, rmsNorm(h, weight));
  },
  "both are returned": (x, y, weight) => {
    const h = add(x, y);
    return [h, rmsNorm(h, weight)];
  },
  "without a weight, in another shape": (x, y) => rmsNorm(reshape(add(x, y), [6, 8])),
  "a layer norm": (x, y, weight) => {
    const h = add(x, y);
    return add(h, layerNorm(h, weight, weight));
  },
  "a stream of two": (x, y, weight) => {
    const h = add(x, y);
    const next = add(h, mul(rmsNorm(h, weight), 2));
    return rmsNorm(next, weight);
  },
};

const apart: Record<string, Step> = {
  "the weight is made after the sum": (x, y, weight) => {
    const h = add(x, y);
    const twice = rmsNorm(reshape(weight, [1, 8]));
    return rmsNorm(h, reshape(twice, [8]));
  },
  "the weight changes between": (x, y, given) => {
    const weight = clone(given);
    const h = add(x, y);
    noGrad(() => copyInto(weight, mul(rmsNorm(y), 1).reshape([6, 8]).sum(0)));
    return rmsNorm(h, weight);
  },
  "the sum is of other shapes": (x, _, weight) => rmsNorm(add(x, weight), weight),
};

async function run(
  step: Step,
  fuse: boolean,
): Promise<{ values: number[][]; runs: ReadonlyMap<string, number> }> {
  using _owner = openScope();
  const compiled = compile(step, { fuse });
  const inputs = (): [Tensor, Tensor, Tensor] => [make([2, 3, 8], 1), make([2, 3, 8], 2), make([8], 3)];
  const runs = compiled.plan(...inputs()).byOp;
  const result = compiled(...inputs());
  const list: readonly Tensor[] = "isGraftTensor" in result ? [result] : result;
  const values = await Promise.all(list.map(async (tensor) => Array.from(await tensor.toArray())));
  compiled.dispose();
  return { values, runs };
}

const countOf = (runs: ReadonlyMap<string, number>, ...names: string[]): number =>
  names.reduce((count, name) => count + (runs.get(name) ?? 0), 0);

describe.each(Object.entries(fused))("%s", (_, step) => {
  test("is fused, with the same numbers", async () => {
    const [one, two] = [await run(step, true), await run(step, false)];
    expect(countOf(one.runs, "addRmsNorm", "addLayerNorm")).toBeGreaterThan(0);
    expect(countOf(one.runs, "rmsNorm", "layerNorm")).toBe(0);
    expect(countOf(two.runs, "addRmsNorm", "addLayerNorm")).toBe(0);
    // The norm of a few values: some roundings of numbers below 8.
    one.values.flat().forEach((value, i) => {
      expect(Math.abs(value - two.values.flat()[i])).toBeLessThan(8 * 8 * 2 ** -24);
    });
    expect(two.values.flat().some((value) => Math.abs(value) > 0.5)).toBe(true);
  });
});

describe.each(Object.entries(apart))("%s", (_, step) => {
  test("is left alone", async () => {
    const [one, two] = [await run(step, true), await run(step, false)];
    expect(countOf(one.runs, "addRmsNorm", "addLayerNorm")).toBe(0);
    expect(one.values).toEqual(two.values);
  });
});
