import { isHalf } from "../dtype.ts";
import { scope } from "../scope.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { axisOf } from "./axis.ts";
import { zerosLike } from "./fill.ts";
import { apply, type Op } from "./op.ts";
import { inShape } from "./reshape.ts";
import { slice } from "./slice.ts";
import { stack } from "./stack.ts";

/** A kernel may bind eight buffers, of which one is x. */
const AT_ONCE = 7;

/** All slices along an axis at once, where one kernel can write them. */
const unbindOp: Op<{ axis: number }> = {
  name: "unbind",

  infer([x], { axis }) {
    const shape = x.shape.filter((_, i) => i !== axis);
    return Array.from({ length: x.shape[axis] }, () => ({ shape, dtype: x.dtype }));
  },

  cpu([x], outputs, { axis }) {
    const inner = sizeOf(x.shape.slice(axis + 1));
    const outer = sizeOf(x.shape.slice(0, axis));
    for (const [part, { data }] of outputs.entries()) {
      for (let o = 0; o < outer; o++) {
        const start = (o * outputs.length + part) * inner;
        data.set(x.data.subarray(start, start + inner), o * inner);
      }
    }
  },

  wgsl([x], outputs, { axis }) {
    const parts = outputs.length;
    return [
      {
        key: `unbind${parts}`,
        over: "element",
        count: sizeOf(outputs[0].shape),
        bindings: [
          { name: "x", view: x, access: "read" },
          ...outputs.map((view, part) => ({ name: `y${part}`, view, access: "write" as const })),
        ],
        params: [["inner", "u32", sizeOf(x.shape.slice(axis + 1))]],
        main: () => `let first = i / P.inner * ${parts}u * P.inner + i % P.inner;
  ${outputs.map((_, part) => `y${part}_put(i, x_at(first + ${part}u * P.inner));`).join("\n  ")}`,
      },
    ];
  },

  gradient({ dys, outputs, attrs: { axis } }) {
    return [
      scope(() =>
        stack(
          dys.map((dy, part) => dy ?? zerosLike(outputs[part])),
          axis,
        ),
      ),
    ];
  },
  saves: () => ({}),
  flops: () => 0,
};

/**
 * The slices of `x` along `axis`, without that axis: what `stack` puts together. One kernel writes all of them where
 * `slice` would need one for each, and so does the gradient. Keeps the type.
 * @returns as many tensors as the axis is long
 */
export function unbind(x: Tensor, axis = 0): Tensor[] {
  const at = axisOf("unbind", x.shape, axis);
  const parts = x.shape[at];
  const shape = x.shape.filter((_, i) => i !== at);
  // Views along the first axis cost nothing, and halves of words cannot be written alone.
  if (at === 0 || parts === 0 || parts > AT_ONCE || isHalf(x.dtype))
    return Array.from({ length: parts }, (_, i) => scope(() => inShape(slice(x, at, i, i + 1), shape)));
  return apply(unbindOp, [x], { axis: at });
}
