import { DTypeError, ShapeError } from "../errors.ts";
import { sameShape, show } from "../shape.ts";
import type { Meta } from "./op.ts";

/** For optimiser steps, which change tensors in place: f32 (or f64) like the first input, and of its shape. */
export function checkAlike(who: string, names: readonly string[], inputs: readonly Meta[]): void {
  const [first] = inputs;
  if (first.dtype !== "f32" && first.dtype !== "f64")
    throw new DTypeError(who, `${names[0]} must be f32 to be changed in place, got ${first.dtype}.`);
  inputs.forEach((input, i) => {
    if (!sameShape(input.shape, first.shape))
      throw new ShapeError(
        who,
        `${names[i]} must be ${show(first.shape)}, the shape of ${names[0]}, got ${show(input.shape)}.`,
      );
    if (input.dtype !== first.dtype)
      throw new DTypeError(
        who,
        `${names[i]} must be ${first.dtype} as ${names[0]}, got ${input.dtype}. Use cast first.`,
      );
  });
}
