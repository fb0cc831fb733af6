import { keyOf, normal, openCpu } from "@graft/tensor";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bitsPerWeight, dequantize, packNibbles } from "../src/index.ts";
import type { Scheme, SchemeOptions } from "../src/scheme.ts";
import { fp4, int4, int4Asymmetric, nf4 } from "../src/schemes/index.ts";
import { gridWeights, schemes, shapes, type Variant, variants, weights } from "./schemes.ts";

const withWeights = (variant: Variant, of = weights) =>
  shapes(variant.scheme).chain((shape) =>
    of(shape.reduce((a, b) => a * b, 1)).map((values) => ({ shape, values })),
  );

const each = test.each(variants);

/** Bytes of every array in packed weights. */
function arrayBytes(value: object): number {
  if (ArrayBuffer.isView(value)) return value.byteLength;
  return Object.entries(value).reduce((sum, [key, part]) => {
    if (key === "shape") return sum;
    return sum + (typeof part === "object" && part !== null ? arrayBytes(part) : 0);
  }, 0);
}

describe("laws of every scheme", () => {
  each("$label: no value is further away than the bound", (variant) => {
    const { scheme, options } = variant;
    /** Largest error, in bounds. */
    const worst = (values: Float32Array, shape: readonly number[]): number => {
      const packed = scheme.quantize(values, shape, options);
      const back = scheme.dequantize(packed);
      const bound = scheme.errorBound(values, packed);
      return values.reduce((most, value, i) => {
        const error = Math.abs(value - back[i]);
        return error === 0 ? most : Math.max(most, error / bound[i]);
      }, 0);
    };
    fc.assert(fc.property(withWeights(variant), ({ shape, values }) => worst(values, shape) <= 1));
    // The control: half of the bound would not hold (of nested scales the two parts seldom meet).
    const waves = Float32Array.from({ length: 8192 }, (_, i) => Math.sin(i * i));
    expect(worst(waves, [128, 64])).toBeGreaterThan(variant.doubleQuant ? 0.4 : 0.5);
  });

  each("$label: what was dequantized gets the same codes", (variant) => {
    const { scheme, options, doubleQuant } = variant;
    if (doubleQuant) return; // A scale that moved by its own rounding moves codes.
    fc.assert(
      fc.property(withWeights(variant), ({ shape, values: any }) => {
        // Among subnormal numbers a scale has too few bits to come back.
        const values = any.map((value) => (Math.abs(value) < 2 ** -10 ? 0 : value));
        const packed = scheme.quantize(values, shape, options);
        const again = scheme.quantize(scheme.dequantize(packed), shape, options);
        if (scheme.name === "fp4")
          expect(unsignedZero(scheme.codes(again))).toEqual(unsignedZero(scheme.codes(packed)));
        else expect(scheme.codes(again)).toEqual(scheme.codes(packed));
      }),
    );
  });

  each("$label: zeros stay zeros and signs stay", (variant) => {
    const { scheme, options, doubleQuant } = variant;
    if (!scheme.keepsZero) {
      const [back] = scheme.dequantize(scheme.quantize(Float32Array.of(0, 1, -0.3), [3], options));
      expect(back).not.toBe(0); // the control: a scheme that does not say so does not
      return;
    }
    fc.assert(
      fc.property(withWeights(variant), ({ shape, values }) => {
        const packed = scheme.quantize(values, shape, options);
        const back = scheme.dequantize(packed);
        const bound = scheme.errorBound(values, packed);
        for (const [i, value] of values.entries()) {
          if (value === 0) expect(back[i] + 0).toBe(0);
          // A nested scale may come out a little below zero.
          else if (back[i] * value < 0) expect(doubleQuant && Math.abs(back[i]) <= bound[i]).toBe(true);
        }
      }),
    );
  });

  each("$label: a block does not depend on the others", (variant) => {
    const { scheme, options, block } = variant;
    const blocks = fc.tuple(weights(block), weights(block), weights(block));
    fc.assert(
      fc.property(blocks, ([a, b, c]) => {
        const shape = [2, block];
        const one = scheme.quantize(Float32Array.of(...a, ...b), shape, options);
        const other = scheme.quantize(Float32Array.of(...a, ...c), shape, options);
        expect(scheme.codes(other).subarray(0, block)).toEqual(scheme.codes(one).subarray(0, block));
        if (!variant.doubleQuant)
          expect(scheme.dequantize(other).subarray(0, block)).toEqual(
            scheme.dequantize(one).subarray(0, block),
          );
      }),
      { numRuns: block > 512 ? 5 : 30 },
    );
  });

  each("$label: a power of two scales values and leaves codes", (variant) => {
    const { scheme, options } = variant;
    fc.assert(
      fc.property(
        withWeights(variant, gridWeights),
        fc.integer({ min: -3, max: 3 }),
        ({ shape, values }, k) => {
          const packed = scheme.quantize(values, shape, options);
          const scaled = scheme.quantize(
            values.map((value) => value * 2 ** k),
            shape,
            options,
          );
          expect(scheme.codes(scaled)).toEqual(scheme.codes(packed));
          expect(scheme.dequantize(scaled)).toEqual(scheme.dequantize(packed).map((value) => value * 2 ** k));
        },
      ),
    );
  });

  each("$label: the negative has the same errors, where the scheme says so", (variant) => {
    const { scheme, options } = variant;
    const differs = ({ shape, values }: { shape: readonly number[]; values: Float32Array }): boolean => {
      const packed = scheme.quantize(values, shape, options);
      const back = scheme.dequantize(packed);
      const minus = scheme.dequantize(
        scheme.quantize(
          values.map((value) => -value),
          shape,
          options,
        ),
      );
      const bound = scheme.errorBound(values, packed);
      return values.some(
        (value, i) => Math.abs(Math.abs(value - back[i]) - Math.abs(-value - minus[i])) > bound[i] * 1e-4,
      );
    };
    if (scheme.keepsNegation) fc.assert(fc.property(withWeights(variant), (weighted) => !differs(weighted)));
    else expect(differs({ shape: [4], values: Float32Array.of(1, 0.12, 0.3, -0.6) })).toBe(true);
  });

  each("$label: the bytes are those that were announced", (variant) => {
    const { scheme, options } = variant;
    fc.assert(
      fc.property(withWeights(variant), ({ shape, values }) => {
        const packed = scheme.quantize(values, shape, options);
        const offset = variant.doubleQuant ? 4 : 0; // a number
        expect(arrayBytes(packed) + offset).toBe(scheme.bytes(shape, options));
        expect(dequantize(packed)).toEqual(scheme.dequantize(packed));
      }),
      { numRuns: 20 },
    );
  });

  test.each(schemes)("$name: a value that is not finite is refused", (scheme) => {
    fc.assert(
      fc.property(fc.constantFrom(NaN, Infinity, -Infinity), fc.nat(31), (bad, at) => {
        const values = new Float32Array(32).fill(1);
        values[at] = bad;
        expect(() => scheme.quantize(values, [32])).toThrow(
          `${scheme.name}: value ${at} must be finite, got ${bad}.`,
        );
      }),
    );
  });

  test.each(schemes)("$name: tiny and huge values stay within the bound, or are refused", (scheme) => {
    fc.assert(
      fc.property(
        fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 64, maxLength: 64 }),
        fc.constantFrom(1, 2 ** -20, 2 ** -60, 2 ** -120, 2 ** -140),
        (list, factor) => {
          const values = Float32Array.from(list, (value) => value * factor);
          let packed: ReturnType<typeof scheme.quantize>;
          try {
            packed = scheme.quantize(values, [2, 32]);
          } catch (error) {
            expect(String(error)).toMatch(/must fit in float16, got/);
            return;
          }
          const back = scheme.dequantize(packed);
          const bound = scheme.errorBound(values, packed);
          for (const [i, value] of values.entries())
            if (!(Math.abs(value - back[i]) <= bound[i]))
              expect.fail(`value ${i}: ${value} became ${back[i]}, bound ${bound[i]}`);
        },
      ),
      { numRuns: 200 },
    );
  });
});

function unsignedZero(codes: Int16Array): Int16Array {
  return codes.map((code) => (code === 8 ? 0 : code));
}

describe("figures", () => {
  test("N(0, 1): NF4 and FP4 have the mean errors that bitsandbytes publishes", async () => {
    const count = 1 << 20;
    const drawn = normal(openCpu(), keyOf(7), [count]);
    const values = Float32Array.from(await drawn.toArray());
    drawn.dispose();
    const error = (scheme: Scheme, power: number, options: SchemeOptions = {}) => {
      const back = scheme.dequantize(scheme.quantize(values, [1024, 1024], options));
      return values.reduce((sum, value, i) => sum + Math.abs(value - back[i]) ** power, 0) / count;
    };
    // bitsandbytes tests/test_functional.py: blocks of 64 and, for the control, of 128.
    expect(Math.abs(error(nf4, 1) / 0.072798 - 1)).toBeLessThan(0.01);
    expect(Math.abs(error(nf4, 1, { blockSize: 128 }) / 0.072798 - 1)).toBeGreaterThan(0.01);
    expect(Math.abs(error(fp4, 1) / 0.096543 - 1)).toBeLessThan(0.01);
    // Even steps in place of NF4's, by mean square: symmetric at the same 4.5 bits, asymmetric at 5.
    const square = error(nf4, 2);
    expect(error(int4, 2) / square).toBeCloseTo(1.366, 2);
    expect(error(int4Asymmetric, 2) / square).toBeCloseTo(0.949, 2);
  });

  test("bits per weight", () => {
    const table = variants.map(({ label, scheme, options }) => [
      label,
      bitsPerWeight(scheme, [4096, 4096], options),
    ]);
    expect(Object.fromEntries(table)).toMatchObject({
      int8: 8 + 32 / 4096,
      int4: 4.5,
      "int4-asymmetric": 5,
      nf4: 4.5,
      "nf4 blockSize 32": 5,
      "nf4 doubleQuant true": 4 + 8 / 64 + 32 / (64 * 256) + 32 / 4096 / 4096,
      fp4: 4.5,
      q4_0: 4.5,
      q8_0: 8.5,
    });
  });

  test("by hand: NF4, FP4, zeros and their padding", () => {
    const values = Float32Array.of(1, -1, 0, 0.5);
    const codesOf = (name: string, of: Float32Array) => {
      const packed = schemes.find((scheme) => scheme.name === name)?.quantize(of, [of.length]);
      return [...(packed as unknown as { codes: Uint8Array }).codes];
    };
    expect(codesOf("nf4", values)).toEqual([0xf0, 0x7c]);
    expect(codesOf("fp4", values)).toEqual([0x3b, 0x05]);
    expect(codesOf("nf4", new Float32Array(3))).toEqual([0x77, 0x77]);
    expect(codesOf("fp4", new Float32Array(3))).toEqual([0, 0]);
    expect([...packNibbles([15, 0, 7, 12], "highFirst")]).toEqual([0xf0, 0x7c]);
  });
});
