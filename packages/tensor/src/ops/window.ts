import { type DType, isHalf } from "../dtype.ts";
import { f32ToBf16, f32ToF16 } from "../formats/half.ts";
import { type Shape, sameShape, sizeOf, stridesOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { denseKernel, moved, movedType } from "./dense.ts";
import { apply, type Op } from "./op.ts";
import { copyKernel, copyOnCpu, type Walk } from "./stridedCopy.ts";

// Reading a window of a tensor (slice, flip) and placing a tensor in a larger one (pad): each is the other's gradient,
// so both records stand here.

/** Value [i, j, …] of the small tensor lies at [starts + steps · (i, j, …)] of the large one. Steps may be negative. */
export interface Window {
  readonly starts: readonly number[];
  readonly steps: readonly number[];
}

function walkOf(large: Shape, small: Shape, { starts, steps }: Window): Walk {
  const strides = stridesOf(large);
  return {
    shape: small,
    offset: strides.reduce((sum, stride, axis) => sum + stride * starts[axis], 0),
    strides: strides.map((stride, axis) => stride * steps[axis]),
  };
}

interface ReadAttrs extends Window {
  readonly shape: Shape;
}

const readOp: Op<ReadAttrs> = {
  name: "slice",
  raw: true,
  infer: ([x], { shape }) => [{ shape, dtype: x.dtype }],
  cpu([x], [out], attrs) {
    copyOnCpu(x, out, walkOf(x.shape, attrs.shape, attrs));
  },
  wgsl: ([x], [out], attrs) => [copyKernel(x, out, walkOf(x.shape, attrs.shape, attrs))],
  gradient: ({ inputs: [x], dy, attrs }) => [place(dy, x.shape, attrs)],
  saves: () => ({}),
  flops: () => 0,
};

/** As `readOp` where the window's values follow each other from one place on: shares the storage. */
const viewOp: Op<ReadAttrs> = {
  name: "slice",
  infer: ([x], { shape }) => [{ shape, dtype: x.dtype }],
  view: ([x], attrs) => walkOf(x.shape, attrs.shape, attrs).offset,
  gradient: ({ inputs: [x], dy, attrs }) => [place(dy, x.shape, attrs)],
  saves: () => ({}),
};

interface PlaceAttrs extends Window {
  readonly shape: Shape;
  readonly value: number;
}

const placeOp: Op<PlaceAttrs> = {
  name: "pad",
  raw: true,
  infer: ([x], { shape }) => [{ shape, dtype: x.dtype }],
  cpu([x], [out], attrs) {
    out.data.fill(storedValue(attrs.value, x.dtype));
    const dense = { shape: x.shape, offset: 0, strides: stridesOf(x.shape) };
    copyOnCpu(x, out, dense, walkOf(attrs.shape, x.shape, attrs));
  },
  wgsl([x], [out], { shape, starts, steps, value }) {
    const strides = stridesOf(x.shape);
    const axes = shape.map((_, axis) => shape.length - 1 - axis);
    const type = movedType(out.dtype);
    const kind = type === "f32" || type === "i32" ? type : "u32";
    return [
      denseKernel(out, {
        key: `place${shape.length}`,
        inputs: [{ name: "x", view: x }],
        params: [
          ["fill", kind, storedValue(value, x.dtype)],
          ...axes.flatMap((axis) => [
            [`d${axis}`, "u32", shape[axis]] as const,
            [`n${axis}`, "i32", x.shape[axis]] as const,
            [`start${axis}`, "i32", starts[axis]] as const,
            [`step${axis}`, "i32", steps[axis]] as const,
            [`s${axis}`, "i32", strides[axis]] as const,
          ]),
        ],
        declare: () => `fn value(k: u32) -> ${type} {
  var rest = k; var at = 0;
  ${axes
    .map(
      (axis) => `{ let c = i32(rest % P.d${axis}) - P.start${axis}; let q = c / P.step${axis};
    if (q < 0 || q >= P.n${axis} || q * P.step${axis} != c) { return ${type === "bool" ? "P.fill != 0u" : "P.fill"}; }
    at += q * P.s${axis}; rest /= P.d${axis}; }`,
    )
    .join("\n  ")}
  return ${moved("x", x.dtype, "u32(at)")};
}`,
      }),
    ];
  },
  gradient: ({ inputs: [x], dy, attrs }) => [read(dy, x.shape, attrs)],
  saves: () => ({}),
  flops: () => 0,
};

/** A number as values of `dtype` are stored. */
export function storedValue(value: number, dtype: DType): number {
  if (dtype === "bool") return value === 0 ? 0 : 1;
  if (!isHalf(dtype)) return value;
  return (dtype === "f16" ? f32ToF16 : f32ToBf16)(Float32Array.of(value))[0];
}

/** The values of a window of `x`, as a tensor of `shape`: a view where they follow each other, otherwise a copy. */
export function read(x: Tensor, shape: Shape, window: Window): Tensor {
  const first = shape.findIndex((dim, axis) => dim !== 1 || x.shape[axis] !== 1);
  const follows = shape.every(
    (dim, axis) => axis <= first || (dim === x.shape[axis] && window.starts[axis] === 0),
  );
  const forwards = shape.every((dim, axis) => dim === 1 || window.steps[axis] === 1);
  const attrs = { shape, starts: window.starts, steps: window.steps };
  return apply(follows && forwards && sizeOf(shape) > 0 ? viewOp : readOp, [x], attrs)[0];
}

/** A tensor of `shape` that holds `x` in a window and `value` around it. */
export function place(x: Tensor, shape: Shape, { starts, steps }: Window, value = 0): Tensor {
  if (sameShape(x.shape, shape) && steps.every((step) => step === 1)) return x;
  return apply(placeOp, [x], { shape, starts, steps, value })[0];
}

const cloneOp: Op<ReadAttrs> = { ...readOp, name: "clone", gradient: ({ dy }) => [dy] };

/** The same values in a storage of their own, in the same type. The gradient passes unchanged. */
export function clone(x: Tensor): Tensor {
  const attrs = { shape: x.shape, starts: x.shape.map(() => 0), steps: x.shape.map(() => 1) };
  return apply(cloneOp, [x], attrs)[0];
}
