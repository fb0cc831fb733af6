import type { View } from "../device/device.ts";
import { isHalf } from "../dtype.ts";
import { collapse, type Shape, sizeOf, stridesOf } from "../shape.ts";
import type { Kernel } from "./kernel.ts";
import type { CpuArray } from "./op.ts";

/** Reads values of `shape` from `offset` in steps of `strides` (elements; 0 repeats, negative goes back). */
export interface Walk {
  readonly shape: Shape;
  readonly offset: number;
  readonly strides: readonly number[];
}

/** out[i…] = x[walk], values in row-major order of `walk.shape`; `to` says where they go (default: out from its start). */
export function copyOnCpu(
  x: CpuArray,
  out: CpuArray,
  from: Walk,
  to: Walk = { shape: from.shape, offset: 0, strides: stridesOf(from.shape) },
): void {
  const flat = collapse(from.shape, [from.strides, to.strides]);
  const [source, target] = flat.strides;
  const last = flat.shape.length - 1;
  if (sizeOf(flat.shape) === 0) return;
  if (last < 0) {
    out.data[to.offset] = x.data[from.offset];
    return;
  }
  const index = new Array<number>(flat.shape.length).fill(0);
  const rows = sizeOf(flat.shape) / flat.shape[last];
  const n = flat.shape[last];
  const sourceStep = source[last];
  const targetStep = target[last];
  for (let row = 0; row < rows; row++) {
    let s = from.offset;
    let t = to.offset;
    for (let axis = 0; axis < last; axis++) {
      s += index[axis] * source[axis];
      t += index[axis] * target[axis];
    }
    if (sourceStep === 1 && targetStep === 1) out.data.set(x.data.subarray(s, s + n), t);
    else for (let i = 0; i < n; i++, s += sourceStep, t += targetStep) out.data[t] = x.data[s];
    for (let axis = last - 1; axis >= 0; axis--) {
      if (++index[axis] < flat.shape[axis]) break;
      index[axis] = 0;
    }
  }
}

/**
 * The same as a kernel. f16 and bf16 are copied as whole words of two values, one invocation a word, so they must be
 * written densely from the start of `out` (`to` absent).
 */
export function copyKernel(x: View, out: View, from: Walk, to?: Walk): Kernel {
  const dense = to === undefined;
  const flat = collapse(from.shape, [from.strides, to?.strides ?? stridesOf(from.shape)]);
  const rank = flat.shape.length;
  const size = sizeOf(from.shape);
  const half = isHalf(out.dtype);
  const params: [string, "u32" | "i32", number][] = [
    ["start_x", "i32", from.offset],
    ["start_y", "i32", to?.offset ?? 0],
    ["size", "u32", size],
  ];
  for (const [axis, dim] of flat.shape.entries()) {
    params.push(
      [`d${axis}`, "u32", dim],
      [`s${axis}`, "i32", flat.strides[0][axis]],
      [`t${axis}`, "i32", flat.strides[1][axis]],
    );
  }
  return {
    key: `copy${rank}${dense ? "d" : ""}`,
    over: "element",
    count: half ? Math.ceil(size / 2) : size,
    bindings: [
      { name: "x", view: x, access: "read" },
      { name: "y", view: out, access: dense ? "write" : "update" },
    ],
    params,
    declare: () => `fn locate(k: u32) -> vec2i {
  var rest = k; var s = P.start_x; var t = P.start_y;
  ${Array.from({ length: rank }, (_, k) => rank - 1 - k)
    .map(
      (axis) =>
        `{ let c = i32(${axis === 0 ? "rest" : `rest % P.d${axis}`}); s += c * P.s${axis}; t += c * P.t${axis}; } ${axis === 0 ? "" : `rest /= P.d${axis};`}`,
    )
    .join("\n  ")}
  return vec2i(s, t);
}`,
    main: () =>
      half
        ? `let low = x_bits(u32(locate(2u * i).x));
  var high = 0u;
  if (2u * i + 1u < P.size) { high = x_bits(u32(locate(2u * i + 1u).x)); }
  y_put_word(i, low | (high << 16u));`
        : `let at = locate(i);
  y_put(u32(${dense ? "i" : "at.y"}), x_at(u32(at.x)));`,
  };
}
