import type { Device } from "../device/device.ts";
import type { DType } from "../dtype.ts";
import type { Shape } from "../shape.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { applyOn, type Op } from "./op.ts";

export interface FillAttrs {
  readonly shape: Shape;
  readonly dtype: Exclude<DType, "f16" | "bf16">;
  readonly value: number;
}

/** A tensor whose values are all `value`. */
export const fillOp: Op<FillAttrs> = {
  name: "fill",
  infer: (_, { shape, dtype }) => [{ shape, dtype }],
  cpu(_, [out], { value, dtype }) {
    out.data.fill(dtype === "bool" ? Number(value !== 0) : value);
  },
  wgsl: (_, [out], { value, dtype }) => [
    {
      key: dtype,
      over: "element",
      count: sizeOf(out.shape),
      bindings: [{ name: "y", view: out, access: "write" }],
      params: [["value", dtype === "i32" || dtype === "u32" ? dtype : "f32", value]],
      main: () => (dtype === "bool" ? "y_put(i, P.value != 0.0f);" : "y_put(i, P.value);"),
    },
  ],
  gradient: "none: a constant depends on nothing",
};

/** A tensor of the shape and device of `like` (f32 where it is f16 or bf16) whose values are all `value`. */
export function onesLike(like: Tensor, value = 1): Tensor {
  return fillOn(like.device, like, {
    shape: like.shape,
    dtype: like.dtype === "f16" || like.dtype === "bf16" ? "f32" : like.dtype,
    value,
  });
}

export function zerosLike(like: Tensor): Tensor {
  return onesLike(like, 0);
}

function fillOn(device: Device, like: Tensor, attrs: FillAttrs): Tensor {
  return applyOn(device, fillOp, [], attrs, (meta, storage, offset) => like.spawn(meta, storage, offset))[0];
}
