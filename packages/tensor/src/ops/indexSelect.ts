import { ShapeError } from "../errors.ts";
import { show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { axisOf } from "./axis.ts";
import { take } from "./take.ts";

/**
 * The slices of `x` along `axis` that `index` names, in its order. The gradient adds up repeated ones.
 * f16 and bf16 become f32.
 * @param index - [count], i32 or u32, within the axis: checked on the CPU device only, a GPU takes the nearest slice
 * @returns the shape of `x` with `count` at `axis`
 */
export function indexSelect(x: Tensor, axis: number, index: Tensor): Tensor {
  const at = axisOf("indexSelect", x.shape, axis);
  if (index.shape.length !== 1)
    throw new ShapeError("indexSelect", `index must have one axis, got ${show(index.shape)}.`);
  return take(x, index, { who: "indexSelect", what: "index", axis: at });
}
