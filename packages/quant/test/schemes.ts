import * as fc from "fast-check";
import type { Scheme, SchemeOptions } from "../src/scheme.ts";
import * as records from "../src/schemes/index.ts";

export const schemes: readonly Scheme[] = Object.values(records);

/** A scheme with one choice of its options. */
export interface Variant {
  readonly label: string;
  readonly scheme: Scheme;
  readonly options: SchemeOptions;
  /** Values that share a scale. */
  readonly block: number;
  readonly doubleQuant: boolean;
}

/** Every scheme with each option's values, the others at their default. */
export const variants: readonly Variant[] = schemes.flatMap((scheme) => {
  const choices: SchemeOptions[] = [{}];
  for (const [key, values] of Object.entries(scheme.options))
    for (const value of values.slice(1)) choices.push({ [key]: value });
  return choices.map((options) => {
    const label = [scheme.name, ...Object.entries(options).map(([key, value]) => `${key} ${value}`)].join(
      " ",
    );
    const defaults = Object.fromEntries(
      Object.entries(scheme.options).map(([key, values]) => [key, values[0]]),
    );
    const all = { ...defaults, ...options };
    const block = Number(all.blockSize ?? all.groupSize ?? 32);
    return { label, scheme, options, block, doubleQuant: all.doubleQuant === true };
  });
});

/** Whole blocks of 32, or any count where the scheme takes it; rows of 32 or one row. */
export function shapes(scheme: Scheme): fc.Arbitrary<readonly number[]> {
  const blocks = fc.tuple(fc.integer({ min: 1, max: 6 }), fc.constantFrom(32, 64, 96));
  if (scheme.name.startsWith("q")) return blocks;
  return fc.oneof(blocks, fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 200 })));
}

/** Weights of a size that every scheme takes (float16 scales included). */
export function weights(count: number): fc.Arbitrary<Float32Array> {
  const normal = fc.float({ noNaN: true, min: -8, max: 8 });
  const value = fc.oneof(
    { weight: 8, arbitrary: normal },
    { weight: 1, arbitrary: fc.constantFrom(0, -0, 1, -1, 0.5, 8, -8) },
    { weight: 1, arbitrary: fc.float({ noNaN: true, min: -1000, max: 1000 }) },
  );
  const size = { minLength: count, maxLength: count };
  return fc
    .oneof(
      fc.array(value, size),
      value.map((constant) => new Array<number>(count).fill(constant)),
      fc.tuple(fc.array(normal, size), fc.nat(count - 1)).map(([values, at]) => values.with(at, 1000)),
    )
    .map((values) => Float32Array.from(values));
}

/** The same on a grid of float16 away from its subnormals, so that a power of two changes no rounding. */
export function gridWeights(count: number): fc.Arbitrary<Float32Array> {
  const value = fc
    .tuple(fc.integer({ min: -2048, max: 2048 }), fc.integer({ min: 0, max: 4 }))
    .map(([whole, exponent]) => (Math.abs(whole) < 1024 ? 0 : whole * 2 ** (exponent - 10)));
  return fc.array(value, { minLength: count, maxLength: count }).map((values) => Float32Array.from(values));
}
