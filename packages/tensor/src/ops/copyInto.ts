import { isHalf } from "../dtype.ts";
import { DTypeError, ShapeError } from "../errors.ts";
import { scope } from "../scope.ts";
import { sameShape, show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { add } from "./add.ts";
import { cast } from "./cast.ts";
import { mul } from "./mul.ts";
import { apply, type Meta, type Op } from "./op.ts";
import { clone, storedValue } from "./window.ts";

// Changes of a tensor's own storage, for optimisers and running statistics. Their targets must not require a gradient,
// unless the call stands in noGrad.

function checkSame(who: string, target: Meta, source: Meta): void {
  if (!sameShape(target.shape, source.shape))
    throw new ShapeError(
      who,
      `source must have the shape of target, got target ${show(target.shape)} and source ${show(source.shape)}. Use expand.`,
    );
  if (target.dtype !== source.dtype)
    throw new DTypeError(
      who,
      `source must have the type of target, got target ${target.dtype} and source ${source.dtype}. Use cast.`,
    );
}

export const copyOp: Op<null> = {
  name: "copyInto",
  raw: true,
  mutates: [0],
  infer([target, source]) {
    checkSame("copyInto", target, source);
    return [];
  },
  cpu([target, source]) {
    target.data.set(source.data.subarray(0, sizeOf(source.shape)));
  },
  wgsl([target, source]) {
    const n = sizeOf(target.shape);
    const half = isHalf(target.dtype);
    return [
      {
        key: "copyInto",
        over: "element",
        // Half types: all words that the target touches. The first and the last may belong in part to a neighbour.
        count: half ? Math.ceil(((target.offset % 2) + n) / 2) : n,
        bindings: [
          { name: "y", view: target, access: "update" },
          { name: "x", view: source, access: "read" },
        ],
        params: [["size", "u32", n]],
        main: () => (half ? writeWords((at) => `x_bits(${at})`) : "y_put(i, x_at(i));"),
      },
    ];
  },
  gradient: "none: it changes its input",
  flops: () => 0,
};

export const addIntoOp: Op<{ scale: number }> = {
  name: "addInto",
  mutates: [0],
  infer([target, source]) {
    checkSame("addInto", target, source);
    if (target.dtype === "bool") throw new DTypeError("addInto", "target must be a number type, got bool.");
    return [];
  },
  cpu([target, source], _, { scale }) {
    const n = sizeOf(target.shape);
    for (let i = 0; i < n; i++) target.data[i] += scale * source.data[i];
  },
  wgsl: ([target, source], _, { scale }) => [
    {
      key: "addInto",
      over: "element",
      count: sizeOf(target.shape),
      bindings: [
        { name: "y", view: target, access: "update" },
        { name: "x", view: source, access: "read" },
      ],
      params: [["scale", target.dtype === "i32" || target.dtype === "u32" ? target.dtype : "f32", scale]],
      main: () => "y_put(i, y_at(i) + P.scale * x_at(i));",
    },
  ],
  gradient: "none: it changes its input",
  flops: ([target]) => 2 * sizeOf(target.shape),
};

const fillIntoOp: Op<{ value: number }> = {
  name: "fillInto",
  raw: true,
  mutates: [0],
  infer: () => [],
  cpu([target], _, { value }) {
    target.data.fill(storedValue(value, target.dtype), 0, sizeOf(target.shape));
  },
  wgsl([target], _, { value }) {
    const n = sizeOf(target.shape);
    const half = isHalf(target.dtype);
    const number = target.dtype === "i32" || target.dtype === "f32" ? target.dtype : "u32";
    return [
      {
        key: "fillInto",
        over: "element",
        count: half ? Math.ceil(((target.offset % 2) + n) / 2) : n,
        bindings: [{ name: "y", view: target, access: "update" }],
        params: [
          ["size", "u32", n],
          ["value", number, storedValue(value, target.dtype)],
        ],
        main: () =>
          half ? writeWords(() => "P.value") : `y_put(i, P.value${target.dtype === "bool" ? " != 0u" : ""});`,
      },
    ];
  },
  gradient: "none: it changes its input",
  flops: () => 0,
};

/** Writes one word of a half-type target of which only the values of the target may change. */
function writeWords(bits: (i: string) => string): string {
  return `let odd = P.y_off & 1u; let low = 2u * i - odd;
  var word = y_word((P.y_off >> 1u) + i);
  if (2u * i >= odd && low < P.size) { word = (word & 0xffff0000u) | ${bits("low")}; }
  if (low + 1u < P.size) { word = (word & 0xffffu) | (${bits("low + 1u")} << 16u); }
  y_put_word((P.y_off >> 1u) + i, word);`;
}

/** No kernel may read and write one buffer through two bindings. */
function apart(target: Tensor, source: Tensor): Tensor {
  return source.storage === target.storage ? clone(source) : source;
}

/**
 * Writes the values of `source` into the storage of `target`; PyTorch's `copy_`. Same shape; another type is cast.
 * Not recorded: the target must not require a gradient, except in noGrad.
 */
export function copyInto(target: Tensor, source: Tensor): void {
  scope(() => {
    apply(copyOp, [target, apart(target, cast(source, target.dtype))], null);
  });
}

/** `target += scale · source`, in place; PyTorch's `add_`. Same shape and type. Not recorded, as `copyInto`. */
export function addInto(target: Tensor, source: Tensor, scale = 1): void {
  scope(() => {
    if (isHalf(target.dtype)) copyInto(target, add(target, mul(source, scale)));
    else apply(addIntoOp, [target, apart(target, source)], { scale });
  });
}

/** Writes `value` into every place of `target`; PyTorch's `fill_`. Not recorded, as `copyInto`. */
export function fillInto(target: Tensor, value: number): void {
  apply(fillIntoOp, [target], { value });
}

/** `target *= factor`, in place; PyTorch's `mul_`. `factor` is a number or a tensor that broadcasts to the target. Not recorded, as `copyInto`. */
export function mulInto(target: Tensor, factor: Tensor | number): void {
  scope(() => copyInto(target, mul(target, factor)));
}
