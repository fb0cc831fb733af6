import { ValueError } from "../errors.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import type { Binding } from "./kernel.ts";
import { apply, type Op } from "./op.ts";
import { checkAlike } from "./updates.ts";

export interface SgdStep {
  /** Of this step. */
  readonly learningRate: number;
  /** Default 0: no velocity is needed. */
  readonly momentum?: number;
  /** 1 − dampening multiplies what is added to the velocity. Default 0. */
  readonly dampening?: number;
  /** Added to the gradient as weightDecay · parameter. Default 0. */
  readonly weightDecay?: number;
  /** Default false. */
  readonly nesterov?: boolean;
  /** True in the first step: the velocity becomes the gradient itself, without dampening. Default false. */
  readonly first?: boolean;
}

const names = ["parameter", "gradient", "velocity"];

/** Inputs: parameter and gradient. */
const plainOp: Op<Required<SgdStep>> = {
  name: "sgdStep",

  infer(inputs, { momentum }) {
    checkAlike("sgdStep", names, inputs);
    if (momentum !== 0 && inputs.length < 3)
      throw new ValueError(
        "sgdStep",
        `velocity must be given where momentum is not 0, got momentum ${momentum}.`,
      );
    return [];
  },

  cpu([parameter, gradient, velocity], _, attrs) {
    const { learningRate, weightDecay, nesterov } = attrs;
    const { keep, take } = mixOf(attrs);
    const p = parameter.data;
    const g = gradient.data;
    if (velocity === undefined) {
      for (let i = 0; i < p.length; i++) p[i] -= learningRate * (g[i] + weightDecay * p[i]);
      return;
    }
    const v = velocity.data;
    for (let i = 0; i < p.length; i++) {
      const gi = g[i] + weightDecay * p[i];
      const vi = keep * v[i] + take * gi;
      v[i] = vi;
      p[i] -= learningRate * (nesterov ? gi + attrs.momentum * vi : vi);
    }
  },

  wgsl([parameter, gradient, velocity], _, attrs) {
    const { learningRate, momentum, weightDecay, nesterov } = attrs;
    const { keep, take } = mixOf(attrs);
    const bindings: Binding[] = [
      { name: "p", view: parameter, access: "update" },
      { name: "g", view: gradient, access: "read" },
    ];
    if (velocity !== undefined) bindings.push({ name: "v", view: velocity, access: "update" });
    return [
      {
        key: nesterov ? "nesterov" : "plain",
        over: "element",
        count: sizeOf(parameter.shape),
        bindings,
        params: [
          ["rate", "f32", learningRate],
          ["decay", "f32", weightDecay],
          ["momentum", "f32", momentum],
          ["keep", "f32", keep],
          ["take", "f32", take],
        ],
        main: () => `let g = g_at(i) + P.decay * p_at(i);
  ${velocity === undefined ? "let step = g;" : `let v = P.keep * v_at(i) + P.take * g; v_put(i, v); let step = ${nesterov ? "g + P.momentum * v" : "v"};`}
  p_put(i, p_at(i) - P.rate * step);`,
      },
    ];
  },

  mutates: [0],
  gradient: "none: it changes its inputs in place",
  flops: ([parameter]) => 6 * sizeOf(parameter.shape),
};

/** Inputs: parameter, gradient and velocity. */
const velocityOp: Op<Required<SgdStep>> = { ...plainOp, mutates: [0, 2] };

/** v ← keep · v + take · g. */
function mixOf({ momentum, dampening, first }: Required<SgdStep>): { keep: number; take: number } {
  return first ? { keep: 0, take: 1 } : { keep: momentum, take: 1 - dampening };
}

/**
 * One step of gradient descent, in place, as `torch.optim.SGD`: `g ← g + weightDecay · p`,
 * `v ← momentum · v + (1 − dampening) · g`, `p ← p − lr · v` (nesterov: `p − lr · (g + momentum · v)`).
 * All tensors have one shape, f32 (or f64); the velocity starts as zeros. Call it within `noGrad`.
 * @param velocity - may be undefined where momentum is 0
 */
export function sgdStep(
  parameter: Tensor,
  gradient: Tensor,
  velocity: Tensor | undefined,
  { learningRate, momentum = 0, dampening = 0, weightDecay = 0, nesterov = false, first = false }: SgdStep,
): void {
  const options = { learningRate, momentum, dampening, weightDecay, nesterov, first };
  if (velocity === undefined) apply(plainOp, [parameter, gradient], options);
  else apply(velocityOp, [parameter, gradient, velocity], options);
}
