import type { Device } from "../device/device.ts";
import type { DType } from "../dtype.ts";
import { fillBits, unitOf } from "../random/stream.ts";
import type { Key } from "../random/threefry.ts";
import { scope } from "../scope.ts";
import { type Shape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { cast } from "./cast.ts";
import { type DrawAttrs, draw, drawKernel } from "./draw.ts";
import type { Op } from "./op.ts";

interface NormalAttrs extends DrawAttrs {
  readonly mean: number;
  readonly std: number;
}

/** The least uniform value, the f32 above −1, so that the inverse error function stays finite. */
const LOW = -0.99999994;
const SPAN = 2;

const normalOp: Op<NormalAttrs> = {
  name: "normal",
  infer: (_, { shape }) => [{ shape, dtype: "f32" }],

  cpu(_, [y], { key, shape, mean, std }) {
    const bits = new Uint32Array(sizeOf(shape));
    fillBits(key, bits);
    const low = Math.fround(LOW);
    for (let i = 0; i < bits.length; i++) {
      const u = Math.max(low, Math.fround(unitOf(bits[i]) * SPAN + low));
      y.data[i] = mean + std * Math.SQRT2 * inverseErf(u);
    }
  },

  wgsl: (_, [y], attrs) => [
    drawKernel(
      attrs,
      y,
      `P.mean + P.factor * inverse_erf(max(${LOW}f, random_unit(i) * ${SPAN}.0f + ${LOW}f))`,
      [
        ["mean", "f32", attrs.mean],
        ["factor", "f32", attrs.std * Math.SQRT2],
      ],
      inverseErfWgsl(),
    ),
  ],
  gradient: "none: random values depend on nothing",
};

/** Giles 2010, "Approximating the erfinv function", table 5: single precision; highest power first. */
const CENTRAL = [
  2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 0.00021858087, -0.00125372503, -0.00417768164,
  0.246640727, 1.50140941,
];
const TAIL = [
  -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
  1.00167406, 2.83297682,
];

function inverseErf(x: number): number {
  const w = -Math.log((1 - x) * (1 + x));
  const central = w < 5;
  const t = central ? w - 2.5 : Math.sqrt(w) - 3;
  const powers = central ? CENTRAL : TAIL;
  let p = powers[0];
  for (let k = 1; k < powers.length; k++) p = p * t + powers[k];
  return p * x;
}

function inverseErfWgsl(): string {
  const horner = (powers: readonly number[]): string =>
    powers
      .slice(1)
      .map((c) => `p = fma(p, t, ${c}f);`)
      .join(" ");
  return `fn inverse_erf(x: f32) -> f32 {
  let w = -log((1.0f - x) * (1.0f + x));
  if (w < 5.0f) { let t = w - 2.5f; var p = ${CENTRAL[0]}f; ${horner(CENTRAL)} return p * x; }
  let t = sqrt(w) - 3.0f; var p = ${TAIL[0]}f; ${horner(TAIL)} return p * x;
}`;
}

/**
 * Random f32 values with the normal distribution, as `jax.random.normal` (to about 1e-6): the inverse error function
 * of uniform values, so that |value − mean| stays below 5.5 · std.
 * @param key - the same key gives the same values on every device, up to rounding
 * @param options.dtype - a float type to which the values are converted; default f32
 */
export function normal(
  device: Device,
  key: Key,
  shape: Shape,
  { mean = 0, std = 1, dtype = "f32" }: { mean?: number; std?: number; dtype?: DType } = {},
): Tensor {
  return scope(() => cast(draw(normalOp, device, { key, shape, mean, std }), dtype));
}
