import { ShapeError } from "../errors.ts";
import { resolveAxis, type Shape, show } from "../shape.ts";

/** `axis` as a number in [0, rank); a ShapeError of `who` where the shape has no such axis. */
export function axisOf(who: string, shape: Shape, axis: number): number {
  const at = resolveAxis(axis, shape.length);
  if (at === undefined)
    throw new ShapeError(
      who,
      `axis must be in [${-shape.length}, ${shape.length}), got ${axis} for ${show(shape)}.`,
    );
  return at;
}

/** The shape with another size at `axis`. */
export function withDim(shape: Shape, axis: number, dim: number): number[] {
  return shape.map((old, i) => (i === axis ? dim : old));
}
