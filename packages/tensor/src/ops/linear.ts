import { ShapeError } from "../errors.ts";
import { scope } from "../scope.ts";
import { show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { add } from "./add.ts";
import { matmul } from "./matmul/matmul.ts";

/**
 * `y = x · weightᵀ + bias`, a fully connected layer.
 *
 * @param x - `[..., inFeatures]`
 * @param weight - `[outFeatures, inFeatures]`, as PyTorch and checkpoints keep it
 * @param bias - `[outFeatures]`; undefined for none
 * @returns `[..., outFeatures]`
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  if (weight.shape.length !== 2 || x.shape.length === 0 || x.shape[x.shape.length - 1] !== weight.shape[1])
    throw new ShapeError(
      "linear",
      `x must be [..., inFeatures] and weight [outFeatures, inFeatures], got ${show(x.shape)} and ${show(weight.shape)}.`,
    );
  if (bias !== undefined && (bias.shape.length !== 1 || bias.shape[0] !== weight.shape[0]))
    throw new ShapeError(
      "linear",
      `bias must be [${weight.shape[0]}], the rows of weight, got ${show(bias.shape)}.`,
    );
  if (bias === undefined) return matmul(x, weight, { transposeB: true });
  return scope(() => add(matmul(x, weight, { transposeB: true }), bias));
}
