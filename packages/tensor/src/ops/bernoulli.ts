import type { Device } from "../device/device.ts";
import { ValueError } from "../errors.ts";
import { fillBits, unitLimit } from "../random/stream.ts";
import type { Key } from "../random/threefry.ts";
import { type Shape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { type DrawAttrs, draw, drawKernel } from "./draw.ts";
import type { Op } from "./op.ts";

interface BernoulliAttrs extends DrawAttrs {
  readonly p: number;
}

const bernoulliOp: Op<BernoulliAttrs> = {
  name: "bernoulli",

  infer(_, { shape, p }) {
    if (!(p >= 0 && p <= 1)) throw new ValueError("bernoulli", `p must be in [0, 1], got ${p}.`);
    return [{ shape, dtype: "bool" }];
  },

  cpu(_, [y], { key, shape, p }) {
    const bits = new Uint32Array(sizeOf(shape));
    fillBits(key, bits);
    const limit = unitLimit(p);
    for (let i = 0; i < bits.length; i++) y.data[i] = bits[i] >>> 9 < limit ? 1 : 0;
  },

  wgsl: (_, [y], attrs) => [drawKernel(attrs, y, "random_unit(i) < P.limit", [["limit", "f32", attrs.p]])],
  gradient: "none: random values depend on nothing",
};

/**
 * Random bool values, true with probability `p` (rounded to 2⁻²³), as `jax.random.bernoulli`.
 * @param key - the same key gives the same values on every device
 */
export function bernoulli(device: Device, key: Key, shape: Shape, p = 0.5): Tensor {
  return draw(bernoulliOp, device, { key, shape, p });
}
