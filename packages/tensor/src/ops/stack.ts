import { ShapeError } from "../errors.ts";
import { scope } from "../scope.ts";
import { resolveAxis, sameShape, show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { concat } from "./concat.ts";
import { unsqueeze } from "./reshape.ts";

/** Tensors of one shape side by side along a new axis: `axis` of the result, whose size is their number. Keeps the type. */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  if (tensors.length === 0) throw new ShapeError("stack", "there must be at least one tensor, got none.");
  const { shape } = tensors[0];
  tensors.forEach((x, i) => {
    if (!sameShape(x.shape, shape))
      throw new ShapeError(
        "stack",
        `shapes must agree, got tensors[0] ${show(shape)} and tensors[${i}] ${show(x.shape)}.`,
      );
  });
  const rank = shape.length + 1;
  const at = resolveAxis(axis, rank);
  if (at === undefined)
    throw new ShapeError(
      "stack",
      `axis must be in [${-rank}, ${rank}), got ${axis} for tensors ${show(shape)}.`,
    );
  return scope(() =>
    concat(
      tensors.map((x) => unsqueeze(x, at)),
      at,
    ),
  );
}
