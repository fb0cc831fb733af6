import type { Device, View } from "../device/device.ts";
import { ShapeError, ValueError } from "../errors.ts";
import { keyParams, streamFunctions } from "../random/stream.ts";
import type { Key } from "../random/threefry.ts";
import { type Shape, show, sizeOf } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import type { Kernel } from "./kernel.ts";
import { applyOn, type Op } from "./op.ts";

export interface DrawAttrs {
  readonly key: Key;
  readonly shape: Shape;
}

/** Runs an op that makes a tensor from a key alone. */
export function draw<A extends DrawAttrs>(op: Op<A>, device: Device, attrs: A): Tensor {
  checkKey(op.name, attrs.key);
  if (!attrs.shape.every((dim) => Number.isInteger(dim) && dim >= 0))
    throw new ShapeError(op.name, `sizes must be whole numbers, got ${show(attrs.shape)}.`);
  return applyOn(device, op, [], attrs, (meta, storage, offset) => new Tensor(meta, storage, offset))[0];
}

export function checkKey(who: string, key: Key): void {
  if (key.length !== 2 || !key.every((word) => Number.isInteger(word) && word >= 0 && word < 2 ** 32))
    throw new ValueError(who, `key must be two whole numbers below 2^32, got ${show(key)}. Use keyOf(seed).`);
}

/** One invocation a value: `value` is WGSL over `i`, `random_bits(i)`, `random_unit(i)` and the params. */
export function drawKernel(
  { key, shape }: DrawAttrs,
  y: View,
  value: string,
  params: NonNullable<Kernel["params"]> = [],
  functions = "",
): Kernel {
  return {
    key: "draw",
    over: "element",
    count: sizeOf(shape),
    bindings: [{ name: "y", view: y, access: "write" }],
    params: [...keyParams(key), ...params],
    declare: () => `${streamFunctions()}\n${functions}`,
    main: () => `y_put(i, ${value});`,
  };
}
