import { activeTrace } from "./compile/trace.ts";
import type { Device } from "./device/device.ts";
import { arrayOf, type DType, isDType, isHalf, type TypedArray } from "./dtype.ts";
import { DTypeError, ShapeError } from "./errors.ts";
import { f32ToBf16, f32ToF16 } from "./formats/half.ts";
import { fillOp } from "./ops/fill.ts";
import { applyOn } from "./ops/op.ts";
import { currentScope } from "./scope.ts";
import { type Shape, show, sizeOf } from "./shape.ts";
import { Tensor } from "./tensor.ts";

/** Nested arrays of numbers or booleans, as a literal tensor is written. */
export type Nested = number | boolean | readonly Nested[];

export interface TensorOptions {
  /** Default "f32". */
  dtype?: DType;
  /** Default false. */
  requiresGrad?: boolean;
}

/**
 * A tensor with the given values, row-major.
 * @param values - as many numbers as `shape` holds; f16 and bf16 are rounded to nearest even
 */
export function fromArray(
  device: Device,
  values: ArrayLike<number>,
  shape: Shape,
  options: TensorOptions = {},
): Tensor {
  const dtype = options.dtype ?? "f32";
  checkShape("fromArray", shape);
  if (!isDType(dtype))
    throw new DTypeError(
      "fromArray",
      `dtype must be f32, f64, f16, bf16, i32, u32 or bool, got ${String(dtype)}.`,
    );
  if (values.length !== sizeOf(shape))
    throw new ShapeError(
      "fromArray",
      `${values.length} values do not fill shape ${show(shape)}, which has ${sizeOf(shape)}.`,
    );
  device.checkDType("fromArray", dtype);
  return fromBits(device, encode(values, dtype), shape, { ...options, dtype });
}

/** As `fromArray`, from values already in the type's storage form (f16 and bf16 as bits in a Uint16Array). */
export function fromBits(
  device: Device,
  values: TypedArray,
  shape: Shape,
  { dtype = "f32", requiresGrad = false }: TensorOptions = {},
): Tensor {
  device.checkDType("fromBits", dtype);
  checkShape("fromBits", shape);
  if (values.length !== sizeOf(shape))
    throw new ShapeError(
      "fromBits",
      `${values.length} values do not fill shape ${show(shape)}, which has ${sizeOf(shape)}.`,
    );
  const storage = device.allocate(dtype, values.length);
  device.upload(storage, values);
  activeTrace()?.noteUpload(storage);
  return own(new Tensor({ shape: [...shape], dtype }, storage, 0), requiresGrad);
}

/** A tensor from nested arrays: `tensor(device, [[1, 2], [3, 4]])`. */
export function tensor(device: Device, nested: Nested, options: TensorOptions = {}): Tensor {
  const shape: number[] = [];
  for (let level: Nested = nested; Array.isArray(level); level = level[0]) shape.push(level.length);
  const values: number[] = [];
  const collect = (part: Nested, depth: number): void => {
    if (typeof part === "number" || typeof part === "boolean") {
      if (depth !== shape.length)
        throw new ShapeError(
          "tensor",
          `rows must have equal lengths: the first gives shape ${show(shape)}, another is shallower.`,
        );
      values.push(Number(part));
      return;
    }
    if (part.length !== shape[depth])
      throw new ShapeError(
        "tensor",
        `rows must have equal lengths: the first gives shape ${show(shape)}, another has ${part.length} at axis ${depth}.`,
      );
    for (const item of part) collect(item, depth + 1);
  };
  collect(nested, 0);
  return fromArray(device, values, shape, options);
}

/** A tensor whose values are all `value`. */
export function full(
  device: Device,
  shape: Shape,
  value: number,
  { dtype = "f32", requiresGrad = false }: TensorOptions = {},
): Tensor {
  checkShape("full", shape);
  if (isHalf(dtype))
    return fromArray(device, new Float32Array(sizeOf(shape)).fill(value), shape, { dtype, requiresGrad });
  const [result] = applyOn(
    device,
    fillOp,
    [],
    { shape: [...shape], dtype, value },
    (meta, storage, offset) => new Tensor(meta, storage, offset),
  );
  return result.asNewLeaf(requiresGrad);
}

export function zeros(device: Device, shape: Shape, options: TensorOptions = {}): Tensor {
  return full(device, shape, 0, options);
}

export function ones(device: Device, shape: Shape, options: TensorOptions = {}): Tensor {
  return full(device, shape, 1, options);
}

/** `start, start + step, …` below `end`. */
export function arange(
  device: Device,
  start: number,
  end: number,
  step = 1,
  options: TensorOptions = {},
): Tensor {
  const count = Math.ceil((end - start) / step);
  if (!(Number.isFinite(count) && step !== 0))
    throw new ShapeError(
      "arange",
      `step must lead from start to end, got start ${start}, end ${end}, step ${step}.`,
    );
  const values = Float64Array.from({ length: Math.max(0, count) }, (_, i) => start + i * step);
  return fromArray(device, values, [values.length], options);
}

/** The identity matrix [n, n]. */
export function eye(device: Device, n: number, options: TensorOptions = {}): Tensor {
  if (!(Number.isInteger(n) && n >= 0)) throw new ShapeError("eye", `n must be a whole number, got ${n}.`);
  const values = new Float32Array(n * n);
  for (let i = 0; i < n; i++) values[i * n + i] = 1;
  return fromArray(device, values, [n, n], options);
}

function own(result: Tensor, requiresGrad: boolean): Tensor {
  currentScope()?.addTensor(result);
  return result.asNewLeaf(requiresGrad);
}

function checkShape(who: string, shape: Shape): void {
  if (!shape.every((dim) => Number.isInteger(dim) && dim >= 0))
    throw new ShapeError(who, `sizes must be whole numbers, got ${show(shape)}.`);
}

function encode(values: ArrayLike<number>, dtype: DType): TypedArray {
  if (isHalf(dtype)) {
    const floats = values instanceof Float32Array ? values : Float32Array.from(values);
    return dtype === "f16" ? f32ToF16(floats) : f32ToBf16(floats);
  }
  const array = arrayOf(dtype, values.length);
  if (dtype === "bool") for (let i = 0; i < values.length; i++) array[i] = values[i] ? 1 : 0;
  else array.set(values);
  return array;
}
