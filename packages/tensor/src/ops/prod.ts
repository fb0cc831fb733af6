import { computeType } from "../dtype.ts";
import { DTypeError } from "../errors.ts";
import { scope } from "../scope.ts";
import type { Tensor } from "../tensor.ts";
import { cast } from "./cast.ts";
import { onesLike } from "./fill.ts";
import { mul } from "./mul.ts";
import { type ReduceOptions, reduceOver } from "./overAxes.ts";
import { pad } from "./pad.ts";
import type { Span } from "./reduce.ts";
import { reshape } from "./reshape.ts";
import { slice } from "./slice.ts";

/**
 * Product over `axes` (all where undefined), by multiplying halves, so that the gradient is right where values are 0.
 * f16 and bf16 become f32.
 */
export function prod(x: Tensor, axes?: number | readonly number[], options: ReduceOptions = {}): Tensor {
  if (x.dtype === "bool") throw new DTypeError("prod", "x must be a number type, got bool. Use all.");
  return scope(() => reduceOver("prod", cast(x, computeType(x.dtype)), axes, options, halved));
}

function halved(joined: Tensor, { outer, n, inner }: Span): Tensor {
  let rest = reshape(joined, [outer, n, inner]);
  if (n === 0)
    return onesLike(
      reshape(
        pad(rest, [
          [0, 0],
          [0, 1],
          [0, 0],
        ]),
        [outer, 1, inner],
      ),
    );
  for (let length = n; length > 1; length = Math.ceil(length / 2)) {
    const half = Math.ceil(length / 2);
    const second = pad(
      slice(rest, 1, half),
      [
        [0, 0],
        [0, 2 * half - length],
        [0, 0],
      ],
      1,
    );
    rest = mul(slice(rest, 1, 0, half), second);
  }
  return rest;
}
