import { isGradEnabled } from "../autograd/gradMode.ts";
import { ShapeError } from "../errors.ts";
import { sameShape, show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, type Op } from "./op.ts";
import { type Expr, e, textOf } from "./pointwise/expr.ts";
import { type Params, pointwise, pointwiseKernel } from "./pointwise/pointwise.ts";

const silu = (x: Expr, sigmoid = e.sigmoid(x)): Expr => e.mul(x, sigmoid);
/** sigmoid(x)·(1 + x·(1 − sigmoid(x))), without the difference. */
const siluSlope = (x: Expr, sigmoid = e.sigmoid(x)): Expr =>
  e.mul(sigmoid, e.add(1, e.mul(x, e.sigmoid(e.neg(x)))));

const forwardOp = pointwise({
  name: "swiglu",
  inputs: ["gate", "up"],
  body: ([gate, up]) => e.mul(silu(gate), up),
});

const byGateOp = pointwise({
  name: "swigluGradient",
  inputs: ["gate", "up", "dy"],
  body: ([gate, up, dy]) => e.mul(e.mul(dy, up), siluSlope(gate)),
});

const byUpOp = pointwise({
  name: "swigluGradient",
  inputs: ["gate", "dy"],
  body: ([gate, dy]) => e.mul(dy, silu(gate)),
});

const op: Op<Params> = {
  ...forwardOp,
  infer(metas, attrs) {
    const [gate, up] = metas;
    if (!sameShape(gate.shape, up.shape))
      throw new ShapeError(
        "swiglu",
        `up must be ${show(gate.shape)}, the shape of gate, got ${show(up.shape)}.`,
      );
    return forwardOp.infer(metas, attrs);
  },
  // Both gradients in one pass over the three tensors; one at a time where they are recorded themselves or one is not wanted.
  gradient({ inputs: [gate, up], dy, attrs, needs: [byGate, byUp] }) {
    if (byGate && byUp && !isGradEnabled()) return apply(gradientOp, [gate, up, dy], attrs);
    return [
      byGate ? apply(byGateOp, [gate, up, dy], attrs)[0] : undefined,
      byUp ? apply(byUpOp, [gate, dy], attrs)[0] : undefined,
    ];
  },
  saves: () => ({ inputs: [0, 1] }),
};

/** Both formulas over gate, up and dy, with one sigmoid. */
const both: readonly Expr[] = (() => {
  const [gate, up, dy] = [0, 1, 2].map((index): Expr => ({ kind: "input", index, bool: false }));
  const sigmoid = e.sigmoid(gate);
  const slope = siluSlope(gate, sigmoid);
  return [e.mul(e.mul(dy, up), slope), e.mul(dy, silu(gate, sigmoid))];
})();
const bothText = textOf(...both);

/** Inputs: gate, up, dy. Outputs: the gradients by gate and by up. */
const gradientOp: Op<Params> = {
  name: "swigluGradient",
  infer: (metas, attrs) => [...byGateOp.infer(metas, attrs), ...byGateOp.infer(metas, attrs)],
  cpu([gate, up, dy], [dGate, dUp], attrs, context) {
    byGateOp.cpu?.([gate, up, dy], [dGate], attrs, context);
    byUpOp.cpu?.([gate, dy], [dUp], attrs, context);
  },
  wgsl: (views, outs, attrs) => [pointwiseKernel(bothText, both, views, outs, attrs)],
  gradient: "none: it is used where nothing is recorded",
  flops: (_, [dGate]) => 20 * sizeOf(dGate.shape),
};

/**
 * `silu(gate) · up`, elementwise: the gate of Llama's feed-forward. One pass forward, and one backward for both gradients.
 * Both are of one shape and a float type.
 * @see Shazeer 2020, https://arxiv.org/abs/2002.05202
 */
export function swiglu(gate: Tensor, up: Tensor): Tensor {
  return apply(op, [gate, up], {})[0];
}
