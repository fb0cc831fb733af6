/**
 * Element types. Arithmetic is f32 (f64 on the CPU device only); f16 and bf16 are storage types that every op reads
 * as f32. A bool is stored as one u32 word, 0 or 1, since WGSL cannot share its own bool with the host.
 */
export type DType = "f32" | "f64" | "f16" | "bf16" | "i32" | "u32" | "bool";

export type TypedArray = Float32Array | Float64Array | Uint16Array | Int32Array | Uint32Array;

const bytes: Record<DType, number> = { f32: 4, f64: 8, f16: 2, bf16: 2, i32: 4, u32: 4, bool: 4 };

export function bytesPer(dtype: DType): number {
  return bytes[dtype];
}

export function isDType(value: unknown): value is DType {
  return typeof value === "string" && Object.hasOwn(bytes, value);
}

export function isFloat(dtype: DType): boolean {
  return dtype === "f32" || dtype === "f64" || dtype === "f16" || dtype === "bf16";
}

/** True for the types that hold two values in a 32-bit word: their bits are kept in a Uint16Array on the host. */
export function isHalf(dtype: DType): dtype is "f16" | "bf16" {
  return dtype === "f16" || dtype === "bf16";
}

/** The type in which an op computes on values stored as `dtype`. */
export function computeType(dtype: DType): DType {
  return isHalf(dtype) ? "f32" : dtype;
}

/** A zeroed host array that holds `size` values of `dtype` (f16 and bf16 as bits). */
export function arrayOf(dtype: DType, size: number): TypedArray {
  switch (dtype) {
    case "f32":
      return new Float32Array(size);
    case "f64":
      return new Float64Array(size);
    case "f16":
    case "bf16":
      return new Uint16Array(size);
    case "i32":
      return new Int32Array(size);
    default:
      return new Uint32Array(size);
  }
}
