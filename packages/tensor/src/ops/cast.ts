import { computeType, type DType, isDType, isHalf } from "../dtype.ts";
import { DTypeError } from "../errors.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, type Op, unchanged } from "./op.ts";

const castOp: Op<{ dtype: DType }> = {
  name: "cast",
  infer: ([x], { dtype }) => [{ shape: x.shape, dtype }],
  cpu([x], [out], { dtype }) {
    const n = sizeOf(x.shape);
    const { data } = x;
    if (dtype === "bool") for (let i = 0; i < n; i++) out.data[i] = data[i] === 0 ? 0 : 1;
    else if (dtype === "i32" && x.dtype !== "u32")
      for (let i = 0; i < n; i++) out.data[i] = saturate(data[i], -2147483648, 2147483647);
    else if (dtype === "u32" && x.dtype !== "i32")
      for (let i = 0; i < n; i++) out.data[i] = saturate(data[i], 0, 4294967295);
    else out.data.set(data.subarray(0, n));
  },
  wgsl([x], [out]) {
    const n = sizeOf(x.shape);
    const half = isHalf(out.dtype);
    return [
      {
        key: "cast",
        over: "element",
        count: half ? Math.ceil(n / 2) : n,
        bindings: [
          { name: "x", view: x, access: "read" },
          { name: "y", view: out, access: "write" },
        ],
        params: [["size", "u32", n]],
        declare: () => `fn load(k: u32) -> ${loaded(x.dtype)} { return x_at(k); }
${conversions[out.dtype](x.dtype)}`,
        main: () =>
          half
            ? `var high = 0u;
  if (2u * i + 1u < P.size) { high = convert(load(2u * i + 1u)); }
  y_put_word(i, convert(load(2u * i)) | (high << 16u));`
            : "y_put(i, convert(load(i)));",
      },
    ];
  },
  // f16 and bf16 tensors have f32 gradients, as everywhere.
  gradient: ({ inputs: [x], dy }) => [cast(dy, computeType(x.dtype))],
  saves: () => ({}),
  flops: () => 0,
};

function saturate(value: number, low: number, high: number): number {
  if (Number.isNaN(value)) return 0;
  return Math.trunc(Math.min(Math.max(value, low), high));
}

const isReal = (dtype: DType): boolean => dtype === "f32" || isHalf(dtype);
const loaded = (dtype: DType): string => (isReal(dtype) ? "f32" : dtype);

/** `convert` from the type that `load` gives; halves as their 16 bits, made by integer arithmetic, as on the CPU. */
const conversions: Record<DType, (from: DType) => string> = {
  f32: (from) => `fn convert(v: ${loaded(from)}) -> f32 { return f32(v); }`,
  f64: () => "",
  bool: (from) => `fn convert(v: ${loaded(from)}) -> bool { return bool(v); }`,
  i32: (from) =>
    isReal(from)
      ? "fn convert(v: f32) -> i32 { return select(i32(clamp(v, -2147483648.0f, 2147483520.0f)), 2147483647i, v >= 2147483648.0f); }"
      : `fn convert(v: ${from}) -> i32 { return i32(v); }`,
  u32: (from) =>
    isReal(from)
      ? "fn convert(v: f32) -> u32 { return select(u32(clamp(v, 0.0f, 4294967040.0f)), 4294967295u, v >= 4294967296.0f); }"
      : `fn convert(v: ${from}) -> u32 { return u32(v); }`,
  f16: (from) => `fn convert(v: ${loaded(from)}) -> u32 {
  let word = bitcast<u32>(f32(v));
  let top = (word >> 16u) & 0x8000u;
  let magnitude = word & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return top | 0x7e00u; }
  if (magnitude >= 0x477ff000u) { return top | 0x7c00u; }
  if (magnitude >= 0x38800000u) {
    let rebased = magnitude - 0x38000000u;
    return top | ((rebased + 0xfffu + ((rebased >> 13u) & 1u)) >> 13u);
  }
  if (magnitude <= 0x33000000u) { return top; }
  let shift = 126u - (magnitude >> 23u);
  let mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  let down = mantissa >> shift;
  let rest = mantissa & ((1u << shift) - 1u);
  let middle = 1u << (shift - 1u);
  return top | (down + select(0u, 1u, rest > middle || (rest == middle && (down & 1u) == 1u)));
}`,
  bf16: (from) => `fn convert(v: ${loaded(from)}) -> u32 {
  let word = bitcast<u32>(f32(v));
  if ((word & 0x7fffffffu) > 0x7f800000u) { return (word >> 16u) | 0x40u; }
  return (word + 0x7fffu + ((word >> 16u) & 1u)) >> 16u;
}`,
};

/**
 * The values of `x` as another type. To f16 and bf16 rounded to nearest even; from float to i32 and u32 cut towards zero
 * and kept within the type's range; to bool `x ≠ 0`; between i32 and u32 the bits stay. Copies, unless the type is the same.
 * The gradient is cast back.
 */
export function cast(x: Tensor, dtype: DType): Tensor {
  if (!isDType(dtype))
    throw new DTypeError(
      "cast",
      `dtype must be f32, f64, f16, bf16, i32, u32 or bool, got ${String(dtype)}.`,
    );
  if (x.dtype === dtype) return unchanged("cast", x);
  return apply(castOp, [x], { dtype })[0];
}
