import { DTypeError, ShapeError } from "../errors.ts";
import { scope } from "../scope.ts";
import { type Shape, show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { axisOf, withDim } from "./axis.ts";
import { denseKernel, moved, movedType } from "./dense.ts";
import { apply, type Meta, type Op, unchanged } from "./op.ts";
import { slice } from "./slice.ts";

/** A kernel may bind eight buffers, of which one is the result. */
const AT_ONCE = 7;

const concatOp: Op<{ axis: number }> = {
  name: "concat",
  raw: true,
  infer(inputs, { axis }) {
    const [first] = inputs;
    inputs.forEach((x, i) => {
      if (x.dtype !== first.dtype)
        throw new DTypeError(
          "concat",
          `dtypes must agree, got tensors[0] ${first.dtype} and tensors[${i}] ${x.dtype}. Use cast on one of them.`,
        );
      if (
        x.shape.length !== first.shape.length ||
        x.shape.some((dim, a) => a !== axis && dim !== first.shape[a])
      )
        throw new ShapeError(
          "concat",
          `shapes must agree except along axis ${axis}, got tensors[0] ${show(first.shape)} and tensors[${i}] ${show(x.shape)}.`,
        );
    });
    const joint = inputs.reduce((sum, x) => sum + x.shape[axis], 0);
    return [{ shape: withDim(first.shape, axis, joint), dtype: first.dtype }];
  },
  cpu(inputs, [out], { axis }) {
    const outer = sizeOf(out.shape.slice(0, axis));
    const row = rowOf(out.shape, axis);
    let start = 0;
    for (const x of inputs) {
      const own = rowOf(x.shape, axis);
      for (let o = 0; o < outer; o++) out.data.set(x.data.subarray(o * own, (o + 1) * own), o * row + start);
      start += own;
    }
  },
  wgsl(inputs, [out], { axis }) {
    const type = movedType(out.dtype);
    return [
      denseKernel(out, {
        key: `concat${inputs.length}`,
        inputs: inputs.map((view, i) => ({ name: `x${i}`, view })),
        params: [
          ["row", "u32", rowOf(out.shape, axis)],
          ...inputs.map(({ shape }, i) => [`n${i}`, "u32", rowOf(shape, axis)] as const),
        ],
        declare: () => `fn value(k: u32) -> ${type} {
  let o = k / P.row; var c = k % P.row;
  ${inputs
    .slice(0, -1)
    .map(
      ({ dtype }, i) =>
        `if (c < P.n${i}) { return ${moved(`x${i}`, dtype, `o * P.n${i} + c`)}; } c -= P.n${i};`,
    )
    .join("\n  ")}
  return ${moved(`x${inputs.length - 1}`, out.dtype, `o * P.n${inputs.length - 1} + c`)};
}`,
      }),
    ];
  },
  gradient({ inputs, dy, attrs: { axis }, needs }) {
    let start = 0;
    return inputs.map((x: Meta, i) => {
      const from = start;
      start += x.shape[axis];
      return needs[i] ? slice(dy, axis, from, start) : undefined;
    });
  },
  saves: () => ({}),
  flops: () => 0,
};

/** Values of one step along the axes before `axis`. */
function rowOf(shape: Shape, axis: number): number {
  return sizeOf(shape.slice(axis));
}

/** The tensors one after the other along `axis`; PyTorch's `cat`. All of one type, which is kept, and equal in the other sizes. */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  if (tensors.length === 0) throw new ShapeError("concat", "there must be at least one tensor, got none.");
  const at = axisOf("concat", tensors[0].shape, axis);
  if (tensors.length === 1) return unchanged("concat", tensors[0]);
  // Also checks the shapes of all together, so that a message counts as the caller does.
  if (tensors.length > AT_ONCE) concatOp.infer(tensors, { axis: at });
  return scope(() => {
    let level = [...tensors];
    while (level.length > 1) {
      const next: Tensor[] = [];
      for (let i = 0; i < level.length; i += AT_ONCE) {
        const group = level.slice(i, i + AT_ONCE);
        next.push(group.length === 1 ? group[0] : apply(concatOp, group, { axis: at })[0]);
      }
      level = next;
    }
    return level[0];
  });
}
