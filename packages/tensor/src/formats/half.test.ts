import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { ValueError } from "../errors.ts";
import { bf16ToF32, f16ToF32, f16Value, f32ToBf16, f32ToF16 } from "./half.ts";

const all = Uint16Array.from({ length: 65536 }, (_, i) => i);

/** float16 by the definition in IEEE 754, in float64. */
function f16ByDefinition(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

/** The nearest pattern by looking at both neighbours: finite values only, ties to the even pattern. */
function nearest(value: number, back: (bits: number) => number, infinity: number): number {
  const sign = Object.is(Math.sign(value), -0) || value < 0 ? 0x8000 : 0;
  const size = Math.abs(value);
  let low = 0;
  let high = infinity;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (back(middle) <= size) low = middle;
    else high = middle;
  }
  // The place of infinity is where the next power of two would be.
  const above = high === infinity ? 2 * back(infinity - 1) - back(infinity - 2) : back(high);
  const down = size - back(low);
  const up = above - size;
  return sign | (down < up || (down === up && low % 2 === 0) ? low : high);
}

function bf16ByDefinition(bits: number): number {
  return bf16ToF32(Uint16Array.of(bits))[0];
}

describe("float16", () => {
  test("all 65,536 patterns widen to what IEEE 754 defines", () => {
    const values = f16ToF32(all);
    for (const bits of all) {
      if (!Object.is(values[bits], f16ByDefinition(bits))) expect.fail(`${bits} became ${values[bits]}`);
      if (!Object.is(f16Value(bits), f16ByDefinition(bits))) expect.fail(`${bits} became ${f16Value(bits)}`);
    }
  });

  test("all 65,536 patterns come back bit for bit, NaN payloads included", () => {
    expect(f32ToF16(f16ToF32(all))).toEqual(all);
  });

  test("any float32 becomes the nearest float16, ties to even", () => {
    const float = fc.oneof(
      fc.float({ noNaN: true, noDefaultInfinity: true }),
      fc.float({ noNaN: true, min: -70000, max: 70000 }),
      fc.float({ noNaN: true, min: Math.fround(-(2 ** -13)), max: Math.fround(2 ** -13) }),
    );
    fc.assert(
      fc.property(float, (value) => {
        expect(f32ToF16(Float32Array.of(value))[0]).toBe(nearest(value, f16ByDefinition, 0x7c00));
      }),
      { numRuns: 2000 },
    );
  });

  test("half way between neighbours the even one is taken, for every pair", () => {
    for (let bits = 0; bits < 0x7c00 - 1; bits++) {
      const tie = (f16ByDefinition(bits) + f16ByDefinition(bits + 1)) / 2;
      const expected = bits % 2 === 0 ? bits : bits + 1;
      if (f32ToF16(Float32Array.of(tie))[0] !== expected) expect.fail(`the tie above ${bits}`);
    }
  });

  test.each([
    [65519.996, 0x7bff],
    [65520, 0x7c00],
    [2 ** -25, 0],
    [2 ** -25 * 1.0001, 1],
    [-(2 ** -26), 0x8000],
    [-0, 0x8000],
    [-Infinity, 0xfc00],
    [3.4e38, 0x7c00],
  ])("%f becomes 0x%s", (value, bits) => {
    expect(f32ToF16(Float32Array.of(value))[0]).toBe(bits);
  });

  test("a NaN whose payload does not fit stays a NaN", () => {
    const signalling = new Float32Array(Uint32Array.of(0x7f800001, 0xff800001).buffer);
    expect([...f32ToF16(signalling)]).toEqual([0x7e00, 0xfe00]);
    expect([...f32ToBf16(signalling)]).toEqual([0x7fc0, 0xffc0]);
  });
});

describe("bfloat16", () => {
  test("all 65,536 patterns come back bit for bit, NaN payloads included", () => {
    expect(f32ToBf16(bf16ToF32(all))).toEqual(all);
  });

  test("any float32 becomes the nearest bfloat16, ties to even", () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(f32ToBf16(Float32Array.of(value))[0]).toBe(nearest(value, bf16ByDefinition, 0x7f80));
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    [1 + 2 ** -8, 0x3f80],
    [1 + 3 * 2 ** -8, 0x3f82],
    [3.4028235e38, 0x7f80],
    [-0, 0x8000],
    [-Infinity, 0xff80],
  ])("%f becomes 0x%s", (value, bits) => {
    expect(f32ToBf16(Float32Array.of(value))[0]).toBe(bits);
  });
});

test("conversions fill the array that they are given, also inside a larger buffer", () => {
  const out = new Float32Array(4).subarray(1, 3);
  expect(f16ToF32(Uint16Array.of(0x3c00, 0xc000), out)).toBe(out);
  expect([...new Float32Array(out.buffer)]).toEqual([0, 1, -2, 0]);
});

test.each([
  ["f16ToF32", () => f16ToF32(new Uint16Array(3), new Float32Array(2))],
  ["bf16ToF32", () => bf16ToF32(new Uint16Array(3), new Float32Array(2))],
  ["f32ToF16", () => f32ToF16(new Float32Array(3), new Uint16Array(2))],
  ["f32ToBf16", () => f32ToBf16(new Float32Array(3), new Uint16Array(2))],
])("%s refuses an array that is too small", (name, call) => {
  expect(call).toThrow(new ValueError(name, "out must have room for 3 values, got 2."));
});
