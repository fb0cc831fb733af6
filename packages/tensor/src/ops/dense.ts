import type { View } from "../device/device.ts";
import { isHalf } from "../dtype.ts";
import { sizeOf } from "../shape.ts";
import type { Kernel, Param } from "./kernel.ts";

/** The type in which `denseKernel` handles values: f16 and bf16 as their 16 bits. */
export function movedType(dtype: View["dtype"]): string {
  return isHalf(dtype) ? "u32" : dtype;
}

/** Reads value `i` of the binding `name` in that type. */
export function moved(name: string, dtype: View["dtype"], i: string): string {
  return isHalf(dtype) ? `${name}_bits(${i})` : `${name}_at(${i})`;
}

/**
 * A kernel that writes each value of `out` once, from `fn value(k: u32) -> T` in `declare`, where T is `movedType`. One
 * invocation a value, or a word of two values.
 */
export function denseKernel(
  out: View,
  spec: {
    key: string;
    inputs: readonly { readonly name: string; readonly view: View }[];
    params: readonly Param[];
    declare: () => string;
  },
): Kernel {
  const size = sizeOf(out.shape);
  const half = isHalf(out.dtype);
  return {
    key: spec.key,
    over: "element",
    count: half ? Math.ceil(size / 2) : size,
    bindings: [
      ...spec.inputs.map(({ name, view }) => ({ name, view, access: "read" as const })),
      { name: "y", view: out, access: "write" },
    ],
    params: [["size", "u32", size], ...spec.params],
    declare: spec.declare,
    main: () =>
      half
        ? `var high = 0u;
  if (2u * i + 1u < P.size) { high = value(2u * i + 1u); }
  y_put_word(i, value(2u * i) | (high << 16u));`
        : "y_put(i, value(i));",
  };
}
