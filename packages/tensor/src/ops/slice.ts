import { ShapeError } from "../errors.ts";
import type { Tensor } from "../tensor.ts";
import { axisOf, withDim } from "./axis.ts";
import { unchanged } from "./op.ts";
import { read } from "./window.ts";

/**
 * `x[start:end:step]` along one axis, as in Python: negative `start` and `end` count from the end, and both are kept
 * within the axis. Shares the storage of `x` where the result lies in one piece, otherwise copies. Keeps the type.
 * @param step - at least 1; see `flip` for the other direction
 */
export function slice(x: Tensor, axis: number, start = 0, end?: number, step = 1): Tensor {
  const at = axisOf("slice", x.shape, axis);
  if (!(Number.isInteger(step) && step >= 1))
    throw new ShapeError("slice", `step must be a whole number of at least 1, got ${step}.`);
  const size = x.shape[at];
  const within = (name: string, value: number): number => {
    if (!Number.isInteger(value))
      throw new ShapeError("slice", `${name} must be a whole number, got ${value}.`);
    return Math.min(Math.max(value < 0 ? value + size : value, 0), size);
  };
  const first = within("start", start);
  const last = end === undefined ? size : within("end", end);
  const count = Math.max(0, Math.ceil((last - first) / step));
  if (count === size) return unchanged("slice", x);
  return read(x, withDim(x.shape, at, count), {
    starts: x.shape.map((_, i) => (i === at && count > 0 ? first : 0)),
    steps: x.shape.map((_, i) => (i === at ? step : 1)),
  });
}

/** `length` values along `axis` from `start` on. As `slice`, but a range beyond the axis is an error. */
export function narrow(x: Tensor, axis: number, start: number, length: number): Tensor {
  const size = x.shape[axisOf("narrow", x.shape, axis)];
  const first = start < 0 ? start + size : start;
  if (
    !(
      Number.isInteger(first) &&
      Number.isInteger(length) &&
      first >= 0 &&
      length >= 0 &&
      first + length <= size
    )
  )
    throw new ShapeError(
      "narrow",
      `start and start + length must be in [0, ${size}], got start ${start} and length ${length}.`,
    );
  return slice(x, axis, first, first + length);
}
