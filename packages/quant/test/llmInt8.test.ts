// LLM.int8(): activations in 8 bits but for outliers, against bitsandbytes' algorithm written out with whole numbers.
import { fromArray, scope } from "@graft/tensor";
import { randomOf, testDevices } from "@graft/tensor/testing";
import { expect, test } from "vitest";
import { int8Activations, QuantizedLinear, quantize } from "../src/index.ts";
import { roundHalfEven } from "../src/rounding.ts";
import { int8 } from "../src/schemes/index.ts";

const { cpu, gpu } = await testDevices();
const [rows, features, outputs] = [6, 40, 9];
const random = randomOf(11);

// On a grid of float16. Feature 7 has outliers in two rows, feature 30 one of exactly the threshold; row 4 is zeros.
const x = Float32Array.from({ length: rows * features }, () => Math.round((random() - 0.5) * 512) / 128);
x[7] = 21.5;
x[3 * features + 7] = -60;
x[2 * features + 30] = 6;
x.fill(0, 4 * features, 5 * features);
const weight = Float32Array.from({ length: outputs * features }, () => random() - 0.5);
const packed = int8.quantize(weight, [outputs, features]);

/** bitsandbytes `backends/default/ops.py`: int8_vectorwise_quant, int8_scaled_mm and the product of outliers, in float64. */
function expected(threshold: number): Float64Array {
  const isOutlier = Array.from({ length: features }, (_, feature) =>
    x.some((value, i) => i % features === feature && Math.abs(value) >= threshold),
  );
  const y = new Float64Array(rows * outputs);
  for (let r = 0; r < rows; r++) {
    const row = x.subarray(r * features, (r + 1) * features);
    const absmax = row.reduce(
      (most, v) => (Math.abs(v) >= threshold ? most : Math.max(most, Math.abs(v))),
      0,
    );
    const codes = Array.from(row, (v, f) =>
      isOutlier[f] || absmax === 0 ? 0 : roundHalfEven(Math.fround(v * Math.fround(127 / absmax))),
    );
    for (let o = 0; o < outputs; o++) {
      let whole = 0;
      let half = 0;
      for (let f = 0; f < features; f++) {
        whole += codes[f] * packed.codes[o * features + f];
        if (isOutlier[f]) half += (row[f] * packed.codes[o * features + f] * packed.absmax[o]) / 127;
      }
      y[r * outputs + o] = (whole * absmax * packed.absmax[o]) / 127 ** 2 + half;
    }
  }
  return y;
}

async function forward(
  device: typeof cpu | typeof gpu,
  threshold: number | undefined,
): Promise<Float32Array> {
  const layer = QuantizedLinear.fromPacked(packed, { device, threshold });
  using y = scope(() => layer.forward(fromArray(device, x, [2, 3, features])));
  expect(y.shape).toEqual([2, 3, outputs]);
  const values = Float32Array.from(await y.toArray());
  layer.dispose();
  return values;
}

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);

test.each([cpu, gpu])("outputs are bitsandbytes' on $name", async (device) => {
  // Sums of 40 terms of at most 2, and of an outlier of 60: a few dozen roundings of 2^-24 of 100.
  const close = 100 * 40 * 2 ** -24;
  expect(distance(await forward(device, 6), expected(6))).toBeLessThan(close);
  // Without outliers all values count for the rows' absmax.
  expect(distance(await forward(device, 1000), expected(1000))).toBeLessThan(close);
  // The controls: another threshold, and activations that are not rounded at all.
  expect(distance(await forward(device, 6.5), expected(6))).toBeGreaterThan(100 * close);
  expect(distance(await forward(device, undefined), expected(6))).toBeGreaterThan(10 * close);
});

test.each([cpu, gpu])("the gradient passes unrounded on $name", async (device) => {
  using given = fromArray(device, x, [rows, features], { requiresGrad: true });
  using dy = fromArray(device, x.toReversed(), [rows, features]);
  scope(() => int8Activations(given).backward({ gradient: dy }));
  expect(await given.grad?.toArray()).toEqual(x.toReversed());
  given.grad?.dispose();
});

test("only int8 weights have a threshold", () => {
  const nf4 = quantize(weight, [outputs, features], { scheme: "nf4" });
  expect(() => QuantizedLinear.fromPacked(nf4, { device: cpu, threshold: 6 })).toThrow(
    "QuantizedLinear: threshold must be a positive number for an int8 weight, got 6 for nf4.",
  );
  expect(() => QuantizedLinear.fromPacked(packed, { device: cpu, threshold: 0 })).toThrow(
    "QuantizedLinear: threshold must be a positive number for an int8 weight, got 0 for int8.",
  );
});
