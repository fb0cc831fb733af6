import { computeType, isFloat } from "../dtype.ts";
import { DTypeError, ValueError } from "../errors.ts";
import { fillBits, keyParams, streamFunctions, unitLimit } from "../random/stream.ts";
import type { Key } from "../random/threefry.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkKey } from "./draw.ts";
import { apply, type Op } from "./op.ts";

interface DropoutAttrs {
  readonly p: number;
  readonly key: Key;
}

const dropoutOp: Op<DropoutAttrs> = {
  name: "dropout",

  infer([x], { p, key }) {
    if (!isFloat(x.dtype))
      throw new DTypeError("dropout", `x must be a float type, got ${x.dtype}. Use cast first.`);
    if (!(p >= 0 && p < 1)) throw new ValueError("dropout", `p must be in [0, 1), got ${p}.`);
    checkKey("dropout", key);
    return [{ shape: x.shape, dtype: computeType(x.dtype) }];
  },

  cpu([x], [y], { p, key }) {
    const bits = new Uint32Array(sizeOf(x.shape));
    fillBits(key, bits);
    const limit = unitLimit(1 - p);
    const from = x.data;
    const to = y.data;
    const scale = 1 / (1 - p);
    for (let i = 0; i < bits.length; i++) to[i] = bits[i] >>> 9 < limit ? from[i] * scale : 0;
  },

  wgsl: ([x], [y], { p, key }) => [
    {
      key: "mask",
      over: "element",
      count: sizeOf(x.shape),
      bindings: [
        { name: "x", view: x, access: "read" },
        { name: "y", view: y, access: "write" },
      ],
      params: [...keyParams(key), ["keep", "f32", 1 - p], ["scale", "f32", 1 / (1 - p)]],
      declare: streamFunctions,
      main: () => "y_put(i, select(0.0f, x_at(i) * P.scale, random_unit(i) < P.keep));",
    },
  ],

  // The mask is drawn again from the key, so nothing is saved.
  gradient: ({ dy, attrs }) => [apply(dropoutOp, [dy], attrs)[0]],
  saves: () => ({}),
};

/**
 * Zeroes each value with probability `p` and multiplies the others by 1 / (1 − p), so that the expectation stays:
 * `y = x · bernoulli(key, 1 − p) / (1 − p)`. The mask is never stored; backward draws it again from the key.
 *
 * @param p - in [0, 1); 0 returns `x` itself, as does `training: false`
 * @param key - a new one for each call, from `generator.next()`
 * @see Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html
 */
export function dropout(
  x: Tensor,
  p: number,
  key: Key,
  { training = true }: { training?: boolean } = {},
): Tensor {
  if (p === 0 || !training) return x;
  return apply(dropoutOp, [x], { p, key })[0];
}
