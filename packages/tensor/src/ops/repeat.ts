import { ShapeError } from "../errors.ts";
import { scope } from "../scope.ts";
import { show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { axisOf, withDim } from "./axis.ts";
import { expand } from "./expand.ts";
import { reshape, unsqueeze } from "./reshape.ts";

/**
 * `x` laid side by side with itself: `counts[i]` times along axis i (PyTorch's `repeat`, NumPy's `tile`). Keeps the type.
 * @param counts - at least one for each axis; more stand for new leading axes
 */
export function repeat(x: Tensor, counts: readonly number[]): Tensor {
  if (counts.length < x.shape.length || counts.some((n) => !(Number.isInteger(n) && n >= 0)))
    throw new ShapeError(
      "repeat",
      `counts must be whole numbers, at least one for each axis of ${show(x.shape)}, got ${show(counts)}.`,
    );
  const shape = [...new Array<number>(counts.length - x.shape.length).fill(1), ...x.shape];
  const apart = shape.flatMap((dim) => [1, dim]);
  const wide = shape.flatMap((dim, i) => [counts[i], dim]);
  const joined = shape.map((dim, i) => dim * counts[i]);
  return scope(() => reshape(expand(reshape(x, apart), wide), joined));
}

/** `x` with each value along `axis` standing `count` times in a row. Keeps the type. */
export function repeatInterleave(x: Tensor, count: number, axis: number): Tensor {
  const at = axisOf("repeatInterleave", x.shape, axis);
  if (!(Number.isInteger(count) && count >= 0))
    throw new ShapeError("repeatInterleave", `count must be a whole number of at least 0, got ${count}.`);
  return scope(() => {
    const apart = unsqueeze(x, at + 1);
    const wide = expand(apart, withDim(apart.shape, at + 1, count));
    return reshape(wide, withDim(x.shape, at, x.shape[at] * count));
  });
}
