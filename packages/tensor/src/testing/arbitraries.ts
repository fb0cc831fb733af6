import fc from "fast-check";
import { type Shape, show } from "../shape.ts";
import type { Sample } from "./cases.ts";
import { inputOf, type ValueKind } from "./values.ts";

/** A size of an axis: mostly small, often 1, sometimes 0 or beyond a workgroup; shrinks towards 1. */
export function sides(max = 6): fc.Arbitrary<number> {
  return fc.oneof(
    { arbitrary: fc.integer({ min: 1, max }), weight: 12 },
    { arbitrary: fc.constantFrom(1, 0), weight: 1 },
  );
}

export interface ShapeLimits {
  /** Default 0. */
  minRank?: number;
  /** Default 4. */
  maxRank?: number;
  /** Default 6. */
  maxSide?: number;
}

/** A shape; shrinks towards few axes of size 1. About one in twenty has no values. */
export function shapes({ minRank = 0, maxRank = 4, maxSide = 6 }: ShapeLimits = {}): fc.Arbitrary<number[]> {
  return fc.array(sides(maxSide), { minLength: minRank, maxLength: maxRank });
}

/** `count` shapes that broadcast: a joint shape, of which each drops leading axes and makes some others 1. */
export function broadcastable(count: number, limits: ShapeLimits = {}): fc.Arbitrary<number[][]> {
  return shapes(limits).chain((joint) => {
    const one = fc
      .tuple(
        fc.nat({ max: joint.length }),
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: joint.length, maxLength: joint.length }),
      )
      .map(([drop, keep]) => joint.map((dim, i) => (keep[i] === 3 ? 1 : dim)).slice(drop));
    return fc.array(one, { minLength: count, maxLength: count });
  });
}

/** A number from which values are made; shrinks to 0. */
export function seeds(): fc.Arbitrary<number> {
  return fc.nat({ max: 2 ** 31 - 1 });
}

export interface SampleOptions {
  /** The kinds of values that the op takes. Default: normal, halves, wide. */
  readonly kinds?: readonly ValueKind[];
  /** True where the op has kinks or ties: values are then "apart" (checked against differences) or "halves" (not). */
  readonly kinks?: boolean;
  readonly magnitude?: Sample["magnitude"];
}

/** Samples of an op of one tensor. */
export function unarySamples(
  call: Sample["call"],
  options: SampleOptions & { shape?: ShapeLimits } = {},
): fc.Arbitrary<Sample> {
  return samplesOver(
    shapes(options.shape).map((shape) => [shape]),
    call,
    options,
  );
}

/** Samples of an op of two tensors that broadcast. */
export function binarySamples(call: Sample["call"], options: SampleOptions = {}): fc.Arbitrary<Sample> {
  return samplesOver(broadcastable(2), call, options);
}

/** Samples over lists of shapes, one for each input. */
export function samplesOver(
  lists: fc.Arbitrary<readonly Shape[]>,
  call: Sample["call"],
  { kinds, kinks = false, magnitude }: SampleOptions = {},
): fc.Arbitrary<Sample> {
  const allowed: readonly ValueKind[] = kinds ?? (kinks ? ["apart", "halves"] : ["normal", "halves", "wide"]);
  return fc
    .record({ list: lists, kind: fc.constantFrom(...allowed), seed: seeds() })
    .map(({ list, kind, seed }) => ({
      inputs: list.map((shape, lane) => inputOf(shape, seed, { kind, lane })),
      call,
      magnitude,
      smooth: !kinks || kind === "apart",
      why: `${list.map(show).join(", ")} ${kind}, seed ${seed}`,
    }));
}
