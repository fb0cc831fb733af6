import type { Device } from "../device/device.ts";
import { fillBits } from "../random/stream.ts";
import type { Key } from "../random/threefry.ts";
import type { Shape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { type DrawAttrs, draw, drawKernel } from "./draw.ts";
import type { Op } from "./op.ts";

const randomBitsOp: Op<DrawAttrs> = {
  name: "randomBits",
  infer: (_, { shape }) => [{ shape, dtype: "u32" }],
  cpu(_, [y], { key }) {
    if (y.data instanceof Uint32Array) fillBits(key, y.data);
  },
  wgsl: (_, [y], attrs) => [drawKernel(attrs, y, "random_bits(i)")],
  gradient: "none: random bits depend on nothing",
};

/**
 * Random u32 values, all 32 bits equally likely: Threefry-2x32 of the element's number, the same on every device and
 * bit-equal to `jax.random.bits`.
 *
 * @param key - from `keyOf(seed)`, `foldIn` or a `Generator`; the same key gives the same values
 */
export function randomBits(device: Device, key: Key, shape: Shape): Tensor {
  return draw(randomBitsOp, device, { key, shape });
}
