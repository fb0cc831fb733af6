// LLM.int8(): activations in 8 bits but for outliers, as bitsandbytes computes them.
import { readFileSync } from "node:fs";
import { Parameter } from "@graft/nn";
import { bytesSource, openSafetensors } from "@graft/nn/checkpoint";
import { fromArray, scope } from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";
import { QuantizedLinear, quantize } from "../src/index.ts";
import type { Int8Packed } from "../src/schemes/int8.ts";

const { cpu, gpu } = await testDevices();
const folder = new URL("../../../tools/golden/data/llm_int8/", import.meta.url);
const file = await openSafetensors(bytesSource(readFileSync(new URL("llm_int8.safetensors", folder))));
const { thresholds } = JSON.parse(readFileSync(new URL("llm_int8.json", folder), "utf8")) as {
  thresholds: number[];
};

const bytesOf = async (name: string) => (await file.readBytes(name)).slice().buffer;
const floats = async (name: string) => new Float32Array(await bytesOf(name));
const shapeOf = (name: string) => file.tensors.get(name)?.shape ?? [];

const [x, dy, bias] = [await floats("x"), await floats("dy"), await floats("bias")];
const packed: Int8Packed = {
  scheme: "int8",
  shape: shapeOf("codes"),
  codes: new Int8Array(await bytesOf("codes")),
  absmax: await floats("absmax"),
};

/** Output and input gradient of the layer, under dy. */
async function passes(
  device: typeof cpu | typeof gpu,
  threshold: number | undefined,
): Promise<Float32Array[]> {
  const shift = new Parameter(fromArray(device, bias, [bias.length]), false);
  const layer = QuantizedLinear.fromPacked(packed, { device, bias: shift, threshold });
  using given = fromArray(device, x, shapeOf("x"), { requiresGrad: true });
  using y = scope(() => {
    const out = layer.forward(given);
    out.backward({ gradient: fromArray(device, dy, shapeOf("dy")) });
    return out.detach();
  });
  const found = [y, given.grad].map(async (tensor) => Float32Array.from((await tensor?.toArray()) ?? []));
  const values = await Promise.all(found);
  given.grad?.dispose();
  layer.dispose();
  return values;
}

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  expect(a).toHaveLength(b.length);
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
};

// bitsandbytes' CPU code multiplies by 6.200124e-5 where 1 / 127² is 6.200012e-5: 2e-5 of products, which reach 10 here.
const close = 3e-4;

describe.each([cpu, gpu])("on $name", (device) => {
  test.each(thresholds)("threshold %f: output and gradient are bitsandbytes'", async (threshold) => {
    const [y, dx] = await passes(device, threshold);
    expect(distance(y, await floats(`y.${threshold.toFixed(1)}`))).toBeLessThan(close);
    // The gradient knows no rounding: sums of 20 terms of about 0.1.
    expect(distance(dx, await floats(`dx.${threshold.toFixed(1)}`))).toBeLessThan(20 * 2 ** -24);
  });

  test("another threshold, and activations that are not rounded, are noticed", async () => {
    const want = await floats("y.6.0");
    for (const threshold of [6.5, 2.5, 0, undefined])
      expect(distance((await passes(device, threshold))[0], want)).toBeGreaterThan(10 * close);
  });
});

test("only int8 weights have a threshold", () => {
  const nf4 = quantize(new Float32Array(64), [2, 32], { scheme: "nf4" });
  expect(() => QuantizedLinear.fromPacked(nf4, { device: cpu, threshold: 6 })).toThrow(
    "QuantizedLinear: threshold must be 0 or more for an int8 weight, got 6 for nf4.",
  );
  expect(() => QuantizedLinear.fromPacked(packed, { device: cpu, threshold: -1 })).toThrow(
    "QuantizedLinear: threshold must be 0 or more for an int8 weight, got -1 for int8.",
  );
});
