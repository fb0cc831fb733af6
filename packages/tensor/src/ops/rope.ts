import { ShapeError } from "../errors.ts";
import { sameShape, show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { onesLike, zerosLike } from "./fill.ts";
import { mul } from "./mul.ts";
import { neg } from "./neg.ts";
import { apply, type Op } from "./op.ts";
import { commonType } from "./pointwise/pointwise.ts";
import { reshape } from "./reshape.ts";
import { checkRows } from "./rows.ts";
import { sum } from "./sum.ts";

/** `sign` −1 turns back: the transposed, which is also the inverse, rotation. */
interface RopeAttrs {
  readonly sign: 1 | -1;
}

const ropeOp: Op<RopeAttrs> = {
  name: "rope",

  infer(inputs) {
    const [x, cos, sin] = inputs;
    checkRows("rope", "x", x);
    if (x.shape.length < 2 || x.shape[x.shape.length - 1] % 2 !== 0)
      throw new ShapeError(
        "rope",
        `x must be [..., seq, headDim] with an even headDim, got ${show(x.shape)}.`,
      );
    const table = [x.shape[x.shape.length - 2], x.shape[x.shape.length - 1] / 2];
    for (const [name, part] of [
      ["cos", cos],
      ["sin", sin],
    ] as const) {
      if (!sameShape(part.shape, table))
        throw new ShapeError(
          "rope",
          `${name} must be ${show(table)}, [seq, headDim / 2] of x ${show(x.shape)}, got ${show(part.shape)}.`,
        );
    }
    return [{ shape: x.shape, dtype: commonType("rope", ["x", "cos", "sin"], inputs) }];
  },

  cpu([x, cos, sin], [y], { sign }) {
    const half = cos.shape[1];
    const period = cos.shape[0] * half;
    const from = x.data;
    const to = y.data;
    const pairs = sizeOf(x.shape) / 2;
    for (let start = 0, t = 0; start < 2 * pairs; start += 2 * half) {
      for (let k = start; k < start + half; k++, t++) {
        const a = from[k];
        const b = from[k + half];
        const c = cos.data[t];
        const s = sign * sin.data[t];
        to[k] = a * c - b * s;
        to[k + half] = b * c + a * s;
      }
      if (t === period) t = 0;
    }
  },

  wgsl: ([x, cos, sin], [y], { sign }) => [
    {
      key: "pairs",
      over: "element",
      count: sizeOf(x.shape) / 2,
      bindings: [
        { name: "x", view: x, access: "read" },
        { name: "c", view: cos, access: "read" },
        { name: "s", view: sin, access: "read" },
        { name: "y", view: y, access: "write" },
      ],
      params: [
        ["half_dim", "u32", cos.shape[1]],
        ["period", "u32", sizeOf(cos.shape)],
        ["turn", "f32", sign],
      ],
      main: () => `let k = (i / P.half_dim) * 2u * P.half_dim + i % P.half_dim;
  let t = i % P.period;
  let a = x_at(k);
  let b = x_at(k + P.half_dim);
  let cosine = c_at(t);
  let sine = P.turn * s_at(t);
  y_put(k, a * cosine - b * sine);
  y_put(k + P.half_dim, b * cosine + a * sine);`,
    },
  ],

  // The rotation is orthogonal: dx turns dy back. With rot(x) = (−x₂, x₁), which is the rotation by 90°, the tables get
  // dcos = Σ over the pair of dy·x and dsin = ± Σ over the pair of dy·rot(x); the tape sums over the leading axes.
  gradient({ inputs: [x, cos, sin], dy, attrs: { sign }, needs }) {
    const pairSum = (product: Tensor): Tensor =>
      sum(reshape(product, [...x.shape.slice(0, -1), 2, cos.shape[1]]), -2);
    const dsin = (): Tensor => {
      const total = pairSum(mul(dy, rope(x, zerosLike(cos), onesLike(sin))));
      return sign === 1 ? total : neg(total);
    };
    return [
      needs[0] ? apply(ropeOp, [dy, cos, sin], { sign: sign === 1 ? -1 : 1 })[0] : undefined,
      needs[1] ? pairSum(mul(dy, x)) : undefined,
      needs[2] ? dsin() : undefined,
    ];
  },
  flops: ([x]) => 3 * sizeOf(x.shape),
};

/**
 * Rotary position embedding by halves, as Llama's checkpoints have it: of each head, value i and value i + headDim/2
 * are turned together by the angle of their position,
 * `y₁ = x₁·cos − x₂·sin`, `y₂ = x₂·cos + x₁·sin`.
 *
 * @param x - `[..., seq, headDim]`, usually `[batch, heads, seq, headDim]`; headDim even
 * @param cos - `[seq, headDim / 2]`: cosines of position · frequency, made in float64 on the host
 * @param sin - `[seq, headDim / 2]`
 * @returns the shape of `x`, f32 (f64 where `x` is)
 * @see Su et al. 2021, eq. 34, https://arxiv.org/abs/2104.09864 (there neighbouring values are paired)
 */
export function rope(x: Tensor, cos: Tensor, sin: Tensor): Tensor {
  return apply(ropeOp, [x, cos, sin], { sign: 1 })[0];
}
