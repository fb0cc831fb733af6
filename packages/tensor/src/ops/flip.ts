import { ShapeError } from "../errors.ts";
import { show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { axisOf } from "./axis.ts";
import { unchanged } from "./op.ts";
import { read } from "./window.ts";

/** `x` with the order along each of `axes` (a number or several) turned round. Copies, unless there is nothing to turn; keeps the type. */
export function flip(x: Tensor, axes: number | readonly number[]): Tensor {
  const list = typeof axes === "number" ? [axes] : axes;
  const turned = new Set(list.map((axis) => axisOf("flip", x.shape, axis)));
  if (turned.size !== list.length) throw new ShapeError("flip", `axes must differ, got ${show(list)}.`);
  if (x.size === 0 || turned.size === 0) return unchanged("flip", x);
  return read(x, x.shape, {
    starts: x.shape.map((dim, i) => (turned.has(i) ? dim - 1 : 0)),
    steps: x.shape.map((_, i) => (turned.has(i) ? -1 : 1)),
  });
}
