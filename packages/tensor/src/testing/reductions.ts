import fc from "fast-check";
import { type Shape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { seeds, shapes } from "./arbitraries.ts";
import type { Sample } from "./cases.ts";
import { inputOf, type ValueKind } from "./values.ts";

type Axes = number | readonly number[] | undefined;

/** A reduction under test. */
export interface Reduction {
  readonly call: (x: Tensor, axes: Axes, options: { keepDim?: boolean }) => Tensor | readonly Tensor[];
  readonly magnitude?: (x: Tensor, axes: Axes, options: { keepDim?: boolean }) => Tensor;
  readonly kinds: readonly ValueKind[];
  /** Kinds of values at which central differences say something. Default: all. */
  readonly smoothKinds?: readonly ValueKind[];
  /** The fewest values that can be reduced to one. Default 0. */
  readonly least?: number;
}

/** One call of a reduction. */
export function reduced(
  { call, magnitude, smoothKinds }: Reduction,
  shape: Shape,
  axes: Axes,
  { keepDim, kind, seed = 1 }: { keepDim?: boolean; kind: ValueKind; seed?: number },
): Sample {
  return {
    inputs: [inputOf(shape, seed, { kind })],
    call: (x) => call(x, axes, { keepDim }),
    magnitude: magnitude && ((x) => magnitude(x, axes, { keepDim })),
    smooth: smoothKinds === undefined || smoothKinds.includes(kind),
    why: `[${shape}] over ${axes === undefined ? "all" : `[${axes}]`}${keepDim ? ", axes kept" : ""}, ${kind}, seed ${seed}`,
  };
}

/** Samples over any axes of any shape. */
export function reductionSamples(reduction: Reduction): fc.Arbitrary<Sample> {
  const { kinds, least = 0 } = reduction;
  return fc
    .record({
      shape: shapes(),
      chosen: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
      all: fc.boolean(),
      negative: fc.boolean(),
      keepDim: fc.boolean(),
      kind: fc.constantFrom(...kinds),
      seed: seeds(),
    })
    .map(({ shape, chosen, all, negative, keepDim, kind, seed }) => {
      const axes = shape.map((_, i) => i).filter((i) => chosen[i] || all);
      // Where too little would be reduced, the shape is made large enough along the axes.
      const short = sizeOf(axes.map((i) => shape[i])) < least;
      const fitting = short ? shape.map((dim, i) => (axes.includes(i) ? least + 1 : dim)) : shape;
      if (axes.length === 0 && least > 1) {
        return reduced(reduction, [least + 2, 3], 0, { keepDim, kind, seed });
      }
      return reduced(
        reduction,
        fitting,
        all ? undefined : negative ? axes.map((i) => i - shape.length) : axes,
        {
          keepDim,
          kind,
          seed,
        },
      );
    });
}

/** The shapes at which a reduction usually breaks. */
export function reductionEdges(reduction: Reduction): Sample[] {
  const [kind] = reduction.kinds;
  const at = (shape: Shape, axes: Axes, keepDim = false): Sample =>
    reduced(reduction, shape, axes, { keepDim, kind });
  const least = reduction.least ?? 0;
  return [
    at([0, 3], 1),
    at([3, 131], -1),
    at([3, 64], 1, true),
    at([131, 3], 0),
    at([2, 3, 4, 5], [0, 2]),
    at([2, 3, 4, 5], [1, 3], true),
    at([200], undefined),
    ...(least <= 1 ? [at([], undefined), at([1, 1], 0, true), at([2, 3], [])] : []),
    ...(least === 0 ? [at([0], undefined), at([3, 0], 1)] : []),
  ];
}
