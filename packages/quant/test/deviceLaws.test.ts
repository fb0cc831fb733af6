// The laws of schemes where weights live: what a device decodes from packed bits is what the host decodes.
import { cast, type Device, fromArray, scope, type Tensor, unpackWeight } from "@graft/tensor";
import { assertWithin, FLOOR, HALF_ULP, testDevices } from "@graft/tensor/testing";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ownedMatrix, packTensor, readMatrix } from "../src/index.ts";
import { type Variant, variants, weights } from "./schemes.ts";

const { cpu, gpu } = await testDevices();
/** One read-back for many matrices: a software adapter takes milliseconds for each. */
const RUNS = 12;
const TIMEOUT = 120_000;

/** Matrices for a scheme, also with blocks that span rows and short last ones where it takes them. */
function matrices({ scheme }: Variant): fc.Arbitrary<readonly [readonly [number, number], Float32Array]> {
  const columns = scheme.name.startsWith("q") ? fc.constantFrom(32, 64) : fc.integer({ min: 1, max: 90 });
  return fc
    .tuple(fc.integer({ min: 1, max: 4 }), columns)
    .chain((shape) => fc.tuple(fc.constant(shape), weights(shape[0] * shape[1])));
}

/** What a device decodes. */
async function decoded(device: Device, packed: Parameters<typeof ownedMatrix>[0]): Promise<Float32Array> {
  const matrix = ownedMatrix(packed, device);
  using values = scope(() => unpackWeight(matrix));
  const result = Float32Array.from(await values.toArray());
  for (const part of matrix.parts) part.dispose();
  return result;
}

test.each(variants)(
  "$label: every device decodes what the host does, within the bound of the weights",
  { timeout: TIMEOUT },
  async (variant) => {
    const { scheme, options, doubleQuant } = variant;
    const samples = fc.sample(matrices(variant), RUNS);
    for (const device of [cpu, gpu]) {
      for (const [shape, values] of samples) {
        const packed = scheme.quantize(values, shape, options);
        const want = scheme.dequantize(packed);
        const got = await decoded(device, packed);
        if (device === cpu) expect(got).toEqual(want);
        const bound = scheme.errorBound(values, packed);
        const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        assertWithin({
          label: `${variant.label} [${shape}] on ${device.name}`,
          shape,
          got,
          want,
          // Three roundings of a scale, one of the product, one of the sum with a minimum, which is a value of the group.
          budget: () => 8 * HALF_ULP * largest + FLOOR,
        });
        for (const [i, value] of values.entries()) {
          expect(Math.abs(got[i] - value)).toBeLessThanOrEqual(bound[i] + 8 * HALF_ULP * largest + FLOOR);
          if (scheme.keepsZero && value === 0) expect(Math.abs(got[i])).toBe(0);
          if (scheme.keepsZero && !doubleQuant) expect(got[i] * value).toBeGreaterThanOrEqual(0);
        }
      }
    }
  },
);

test("tensors of every float type are packed and unpacked on their device", async () => {
  const values = fc.sample(weights(3 * 64), { numRuns: 1, seed: 5 })[0];
  for (const device of [cpu, gpu]) {
    for (const dtype of ["f32", "f16", "bf16"] as const) {
      using x = scope(() => cast(fromArray(device, values, [3, 64]), dtype));
      const exact = Float32Array.from(await x.toArray());
      for (const { scheme } of variants.filter(({ options }) => Object.keys(options).length === 0)) {
        const matrix = await packTensor(x, { scheme: scheme.name });
        expect(await readMatrix(matrix)).toEqual(scheme.quantize(exact, [3, 64]));
        using back = scope((): Tensor => cast(unpackWeight(matrix), dtype));
        expect(back.dtype).toBe(dtype);
        const bound = scheme.errorBound(exact, (await readMatrix(matrix)) as never);
        const got = await back.toArray();
        const step = { f32: 2 ** -21, f16: 2 ** -11, bf16: 2 ** -8 }[dtype];
        const largest = exact.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        for (const [i, value] of exact.entries())
          expect(Math.abs(got[i] - value)).toBeLessThanOrEqual(bound[i] + step * (largest + bound[i]));
        for (const part of matrix.parts) part.dispose();
      }
    }
  }
});
