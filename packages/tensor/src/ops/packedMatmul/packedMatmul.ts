import type { View } from "../../device/device.ts";
import { computeType } from "../../dtype.ts";
import { ShapeError } from "../../errors.ts";
import type { PackedLayout } from "../../formats/packed/packed.ts";
import { scope } from "../../scope.ts";
import { show, sizeOf } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";
import type { GpuInfo, Kernel } from "../kernel.ts";
import { planMatmul } from "../matmul/plan.ts";
import { matmulKernel, type TileClass } from "../matmul/tiles.ts";
import { apply, type Op } from "../op.ts";
import { inShape } from "../reshape.ts";
import { packedFast, packedReference } from "./cpu.ts";
import { bindMatrix, checkParts, type PackedMatrix, rowScaleOf } from "./matrix.ts";

export interface PackedMatmulAttrs {
  readonly layout: PackedLayout;
  /** x · Wᵀ, as a linear layer; else x · W, as its gradient. */
  readonly transpose: boolean;
}

export const packedMatmulOp: Op<PackedMatmulAttrs> = {
  name: "packedMatmul",

  infer([x, ...parts], { layout, transpose }) {
    const [rows, columns] = layout.shape;
    const [inner, outer] = transpose ? [columns, rows] : [rows, columns];
    if (x.shape.length !== 2 || x.shape[1] !== inner)
      throw new ShapeError(
        "packedMatmul",
        `x must be [..., ${inner}] for a weight ${show(layout.shape)}${transpose ? "" : " without transpose"}, got ${show(x.shape)}.`,
      );
    checkParts("packedMatmul", layout, parts);
    return [{ shape: [x.shape[0], outer], dtype: computeType(x.dtype) }];
  },

  cpu([x, ...parts], [y], { layout, transpose }, { fast }) {
    const data = parts.map((part) => part.data);
    const m = x.shape[0];
    if (fast && x.data instanceof Float32Array && y.data instanceof Float32Array)
      packedFast(layout, data, x.data, y.data, m, transpose);
    else packedReference(layout, data, x.data, y.data, m, transpose);
  },

  wgsl: ([x, ...parts], [y], attrs, gpu) => kernelsOf(x, parts, y, attrs, gpu),

  gradient: ({ inputs: [, ...parts], dy, attrs: { layout, transpose } }) => [
    apply(packedMatmulOp, [dy, ...parts], { layout, transpose: !transpose })[0],
  ],

  saves: (inputs) => ({ inputs: inputs.slice(1).map((_, i) => i + 1) }),

  flops: ([x], _, { layout }) => 2 * x.shape[0] * sizeOf(layout.shape),
};

/** The same op by one class of kernels, for tests and benchmarks of the classes. */
export const packedMatmulBy = (tile: TileClass): Op<PackedMatmulAttrs> => ({
  ...packedMatmulOp,
  wgsl: ([x, ...parts], [y], attrs, gpu) => kernelsOf(x, parts, y, attrs, gpu, tile),
});

function kernelsOf(
  x: View,
  parts: readonly View[],
  y: View,
  { layout, transpose }: PackedMatmulAttrs,
  gpu: GpuInfo,
  tile?: TileClass,
): Kernel[] {
  const plan = planMatmul(
    x,
    { shape: layout.shape, dtype: "f32" },
    { transposeA: false, transposeB: transpose },
  );
  const { kernels, stored } = bindMatrix(layout, parts, gpu);
  const scaled = rowScaleOf(layout, parts);
  if (scaled === undefined) return [...kernels, matmulKernel(plan, x, stored, y, gpu, tile)];
  const { scale, factor } = scaled;
  // Scales of rows stand outside of the sums: they belong to the columns of y = x · Wᵀ, and to those of x in x · W.
  if (transpose)
    return [
      ...kernels,
      matmulKernel(plan, x, stored, y, gpu, tile),
      {
        key: "scale",
        over: "element",
        count: sizeOf(y.shape),
        bindings: [
          { name: "y", view: y, access: "update" },
          { name: "scale", view: scale, access: "read" },
        ],
        params: [
          ["rows", "u32", layout.shape[0]],
          ["factor", "f32", factor],
        ],
        main: () => "y_put(i, y_at(i) * (scale_at(i % P.rows) * P.factor));",
      },
    ];
  const given = gpu.scratch("f32", sizeOf(x.shape));
  return [
    ...kernels,
    {
      key: "prescale",
      over: "element",
      count: sizeOf(x.shape),
      bindings: [
        { name: "x", view: x, access: "read" },
        { name: "scale", view: scale, access: "read" },
        { name: "y", view: given, access: "write" },
      ],
      params: [
        ["rows", "u32", layout.shape[0]],
        ["factor", "f32", factor],
      ],
      main: () => "y_put(i, x_at(i) * (scale_at(i % P.rows) * P.factor));",
    },
    matmulKernel(plan, { ...given, shape: x.shape }, stored, y, gpu, tile),
  ];
}

/**
 * `y = x · Wᵀ` straight from packed bits: W is decoded where a tile needs it and never stored dense. With
 * `transpose: false` it is `x · W`, the gradient of the former by x. W takes no gradient.
 *
 * @param x - `[..., columns]`, or `[..., rows]` with `transpose: false`
 * @param weight - `[rows, columns]` in few bits, with `rows` the features that come out, as Linear keeps its weight
 * @returns `[..., rows]`, or `[..., columns]`, in f32
 */
export function packedMatmul(
  x: Tensor,
  weight: PackedMatrix,
  { transpose = true }: { transpose?: boolean } = {},
): Tensor {
  const { layout, parts } = weight;
  const attrs = { layout, transpose };
  if (x.shape.length === 2) return apply(packedMatmulOp, [x, ...parts], attrs)[0];
  const width = x.shape.at(-1) ?? 1;
  const count = sizeOf(x.shape.slice(0, -1));
  return scope(() => {
    const [y] = apply(packedMatmulOp, [inShape(x, [count, width]), ...parts], attrs);
    return inShape(y, [...x.shape.slice(0, -1), y.shape[1]]);
  });
}
