import { ShapeError } from "../errors.ts";
import { type Shape, sameShape, show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, type Op, unchanged } from "./op.ts";

const reshapeOp: Op<{ shape: Shape }> = {
  name: "reshape",
  infer([x], { shape }) {
    return [{ shape: resolve(x.shape, shape), dtype: x.dtype }];
  },
  view: () => 0,
  gradient: ({ inputs: [x], dy }) => [reshape(dy, x.shape)],
  saves: () => ({}),
};

/**
 * The same values in another shape, sharing the storage. One size may be −1: it is what remains.
 * @param shape - sizes whose product is the number of values
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? unchanged("reshape", x) : inShape(x, shape);
}

/** For ops: as `reshape`, but `x` itself where nothing changes, so that no second handle has to be freed. */
export function inShape(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  return apply(reshapeOp, [x], { shape })[0];
}

function resolve(from: Shape, to: Shape): number[] {
  const size = sizeOf(from);
  const unknown = to.filter((dim) => dim === -1).length;
  const known = sizeOf(to.filter((dim) => dim !== -1));
  if (unknown > 1) throw new ShapeError("reshape", `at most one size may be -1, got ${show(to)}.`);
  if (to.some((dim) => dim !== -1 && !(Number.isInteger(dim) && dim >= 0))) {
    throw new ShapeError("reshape", `sizes must be whole numbers, got ${show(to)}.`);
  }
  const fits = unknown === 0 ? known === size : known > 0 && size % known === 0;
  if (!fits) throw new ShapeError("reshape", `${size} values of ${show(from)} do not fill ${show(to)}.`);
  return to.map((dim) => (dim === -1 ? size / known : dim));
}

/** Joins the axes from `start` to `end` (both included) into one, as `torch.flatten`. */
export function flatten(x: Tensor, start = 0, end = -1): Tensor {
  const rank = x.shape.length;
  const first = start < 0 ? start + rank : start;
  const last = end < 0 ? end + rank : end;
  if (rank === 0) return reshape(x, [1]);
  if (!(first >= 0 && first <= last && last < rank)) {
    throw new ShapeError(
      "flatten",
      `start and end must be axes in order, got ${start} and ${end} for ${show(x.shape)}.`,
    );
  }
  return reshape(x, [
    ...x.shape.slice(0, first),
    sizeOf(x.shape.slice(first, last + 1)),
    ...x.shape.slice(last + 1),
  ]);
}

/** Inserts an axis of size 1 at `axis`; −1 appends one. */
export function unsqueeze(x: Tensor, axis: number): Tensor {
  const rank = x.shape.length + 1;
  const at = axis < 0 ? axis + rank : axis;
  if (!(Number.isInteger(at) && at >= 0 && at < rank))
    throw new ShapeError("unsqueeze", `axis must be in [${-rank}, ${rank}), got ${axis}.`);
  return reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
}

/** Removes the axis `axis` of size 1, or every such axis where none is named. */
export function squeeze(x: Tensor, axis?: number): Tensor {
  if (axis === undefined)
    return reshape(
      x,
      x.shape.filter((dim) => dim !== 1),
    );
  const at = axis < 0 ? axis + x.shape.length : axis;
  if (x.shape[at] !== 1)
    throw new ShapeError("squeeze", `axis ${axis} must have size 1, got ${show(x.shape)}.`);
  return reshape(
    x,
    x.shape.filter((_, i) => i !== at),
  );
}
