import { ShapeError } from "../errors.ts";
import { scope } from "../scope.ts";
import { show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { inShape } from "./reshape.ts";
import { take } from "./take.ts";

/**
 * The rows of a table that `ids` name: `y[..., :] = weight[ids[...], :]`. The gradient adds up repeated rows, in order.
 * @param weight - [vocabulary, features], of any float type; the result is f32 (f64 for f64)
 * @param ids - [...], i32 or u32, in [0, vocabulary): checked on the CPU device only, a GPU takes the nearest row
 * @returns [..., features]
 */
export function embedding(weight: Tensor, ids: Tensor): Tensor {
  if (weight.shape.length !== 2)
    throw new ShapeError("embedding", `weight must be [vocabulary, features], got ${show(weight.shape)}.`);
  return scope(() => {
    const rows = take(weight, ids, { who: "embedding", what: "ids", axis: 0 });
    return inShape(rows, [...ids.shape, weight.shape[1]]);
  });
}
