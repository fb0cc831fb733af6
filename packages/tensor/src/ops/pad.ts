import { ShapeError } from "../errors.ts";
import type { Tensor } from "../tensor.ts";
import { unchanged } from "./op.ts";
import { place } from "./window.ts";

/**
 * `x` with `value` around it. Keeps the type; the gradient is the inner part.
 * @param pads - for each axis, first axis first, how many values come before and after: `[[0, 1], [2, 2]]`
 */
export function pad(
  x: Tensor,
  pads: readonly (readonly [before: number, after: number])[],
  value = 0,
): Tensor {
  if (pads.length !== x.shape.length)
    throw new ShapeError(
      "pad",
      `pads must have one pair for each of the ${x.shape.length} axes, got ${pads.length}.`,
    );
  for (const [before, after] of pads) {
    if (!(Number.isInteger(before) && Number.isInteger(after) && before >= 0 && after >= 0))
      throw new ShapeError("pad", `pads must be whole numbers of at least 0, got [${before}, ${after}].`);
  }
  if (pads.every(([before, after]) => before + after === 0)) return unchanged("pad", x);
  const shape = x.shape.map((dim, i) => dim + pads[i][0] + pads[i][1]);
  return place(x, shape, { starts: pads.map(([before]) => before), steps: pads.map(() => 1) }, value);
}
