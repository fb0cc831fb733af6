import type { Device } from "../device/device.ts";
import type { DType } from "../dtype.ts";
import { ValueError } from "../errors.ts";
import { fillBits, unitOf } from "../random/stream.ts";
import type { Key } from "../random/threefry.ts";
import { scope } from "../scope.ts";
import { type Shape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { cast } from "./cast.ts";
import { type DrawAttrs, draw, drawKernel } from "./draw.ts";
import type { Op } from "./op.ts";

interface UniformAttrs extends DrawAttrs {
  readonly low: number;
  readonly high: number;
}

const uniformOp: Op<UniformAttrs> = {
  name: "uniform",

  infer(_, { shape, low, high }) {
    if (!(low < high)) throw new ValueError("uniform", `low must be below high, got ${low} and ${high}.`);
    return [{ shape, dtype: "f32" }];
  },

  cpu(_, [y], { key, shape, low, high }) {
    const bits = new Uint32Array(sizeOf(shape));
    fillBits(key, bits);
    // Rounded after each step, as f32 arithmetic does.
    const start = Math.fround(low);
    const span = Math.fround(Math.fround(high) - start);
    for (let i = 0; i < bits.length; i++)
      y.data[i] = Math.max(start, Math.fround(unitOf(bits[i]) * span) + start);
  },

  wgsl: (_, [y], attrs) => [
    drawKernel(attrs, y, "max(P.low, random_unit(i) * P.span + P.low)", [
      ["low", "f32", attrs.low],
      ["span", "f32", Math.fround(attrs.high) - Math.fround(attrs.low)],
    ]),
  ],
  gradient: "none: random values depend on nothing",
};

/**
 * Random f32 values in [low, high), from 2²³ evenly spaced ones, as `jax.random.uniform`.
 * @param key - the same key gives the same values on every device
 * @param options.dtype - a float type to which the values are converted; default f32
 */
export function uniform(
  device: Device,
  key: Key,
  shape: Shape,
  { low = 0, high = 1, dtype = "f32" }: { low?: number; high?: number; dtype?: DType } = {},
): Tensor {
  return scope(() => cast(draw(uniformOp, device, { key, shape, low, high }), dtype));
}
