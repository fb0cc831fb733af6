import { ShapeError } from "../errors.ts";
import { scope } from "../scope.ts";
import type { Tensor } from "../tensor.ts";
import { axisOf } from "./axis.ts";
import { concat } from "./concat.ts";
import { unchanged } from "./op.ts";
import { slice } from "./slice.ts";

/** `x` moved along `axis` by `shift` places; what falls off the end comes in at the start. Negative goes the other way. */
export function roll(x: Tensor, shift: number, axis: number): Tensor {
  const at = axisOf("roll", x.shape, axis);
  if (!Number.isInteger(shift)) throw new ShapeError("roll", `shift must be a whole number, got ${shift}.`);
  const size = x.shape[at];
  const cut = size === 0 ? 0 : ((-shift % size) + size) % size;
  if (cut === 0) return unchanged("roll", x);
  return scope(() => concat([slice(x, at, cut), slice(x, at, 0, cut)], at));
}
