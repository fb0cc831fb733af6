import { ValueError } from "../errors.ts";
import type { Tensor } from "../tensor.ts";
import { apply, type CpuArray, type Op } from "./op.ts";
import {
  checkAlike,
  checkFactor,
  checkLengths,
  groupsOf,
  type Layout,
  listOf,
  type OneOrMore,
  updatedSize,
  updateKernels,
  updateOp,
} from "./updates.ts";

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

type Attrs = Required<SgdStep>;

const ops = new Map<string, Op<Attrs>>();

/** Inputs: `count` parameters and gradients, velocities where there are some, and last (maybe) what scales the gradients. */
function opFor(count: number, hasVelocity: boolean): Op<Attrs> {
  const id = `${count}${hasVelocity ? "v" : ""}`;
  const known = ops.get(id);
  if (known !== undefined) return known;
  const layout: Layout = { names: ["parameter", "gradient", ...(hasVelocity ? ["velocity"] : [])], count };
  const shared = layout.names.length * count;
  const op: Op<Attrs> = {
    ...updateOp(layout, hasVelocity ? [0, 2] : [0]),
    name: "sgdStep",

    infer(inputs, { momentum }) {
      checkAlike("sgdStep", inputs, layout);
      if (inputs.length > shared) checkFactor("sgdStep", "gradientScale", inputs[shared], inputs[0]);
      if (momentum !== 0 && !hasVelocity)
        throw new ValueError(
          "sgdStep",
          `velocity must be given where momentum is not 0, got momentum ${momentum}.`,
        );
      return [];
    },

    cpu(inputs, _, attrs) {
      const scale = inputs.length > shared ? inputs[shared].data[0] : 1;
      const [parameters, gradients, velocities] = groupsOf(inputs, layout);
      for (let k = 0; k < count; k++) stepOnCpu(parameters[k], gradients[k], velocities?.[k], scale, attrs);
    },

    wgsl(inputs, _, attrs) {
      const [parameters, gradients, velocities] = groupsOf(inputs, layout);
      const scale = inputs.length > shared ? inputs[shared] : undefined;
      const { nesterov } = attrs;
      return updateKernels(
        `${nesterov ? "nesterov" : "plain"}${scale === undefined ? "" : "|scaled"}`,
        [
          { name: "p", views: parameters, access: "update" },
          { name: "g", views: gradients, access: "read" },
          ...(hasVelocity ? [{ name: "v", views: velocities, access: "update" as const }] : []),
        ],
        scale === undefined ? [] : [{ name: "scale", view: scale, access: "read" }],
        [
          ["rate", "f32", () => attrs.learningRate],
          ["decay", "f32", () => attrs.weightDecay],
          ["momentum", "f32", () => attrs.momentum],
          ["keep", "f32", () => mixOf(attrs).keep],
          ["take", "f32", () => mixOf(attrs).take],
        ],
        `let g = g_here${scale === undefined ? "" : " * scale_at(0u)"} + P.decay * p_here;
  ${hasVelocity ? `let v = P.keep * v_here + P.take * g; v_set(v); let step = ${nesterov ? "g + P.momentum * v" : "v"};` : "let step = g;"}
  p_set(p_here - P.rate * step);`,
      );
    },

    gradient: "none: it changes its inputs in place",
    flops: (inputs) => 6 * updatedSize(inputs, layout),
  };
  ops.set(id, op);
  return op;
}

function stepOnCpu(
  parameter: CpuArray,
  gradient: CpuArray,
  velocity: CpuArray | undefined,
  scale: number,
  attrs: Attrs,
): void {
  const { learningRate, weightDecay, nesterov, momentum } = attrs;
  const { keep, take } = mixOf(attrs);
  const p = parameter.data;
  const g = gradient.data;
  // A scaled gradient is rounded as if it had been stored.
  const stored = parameter.dtype === "f32" && scale !== 1 ? Math.fround : (value: number) => value;
  if (velocity === undefined) {
    for (let i = 0; i < p.length; i++) p[i] -= learningRate * (stored(g[i] * scale) + weightDecay * p[i]);
    return;
  }
  const v = velocity.data;
  for (let i = 0; i < p.length; i++) {
    const gi = stored(g[i] * scale) + weightDecay * p[i];
    const vi = keep * v[i] + take * gi;
    v[i] = vi;
    p[i] -= learningRate * (nesterov ? gi + momentum * vi : vi);
  }
}

/** v ← keep · v + take · g. */
function mixOf({ momentum, dampening, first }: Attrs): { keep: number; take: number } {
  return first ? { keep: 0, take: 1 } : { keep: momentum, take: 1 - dampening };
}

/**
 * One step of gradient descent, in place, as `torch.optim.SGD`: `g ← g + weightDecay · p`,
 * `v ← momentum · v + (1 − dampening) · g`, `p ← p − lr · v` (nesterov: `p − lr · (g + momentum · v)`).
 *
 * Takes one tensor of each kind or lists of them. Where neighbours of every list lie side by side in one storage, one
 * dispatch changes them all. Those of one parameter have one shape, f32 (or f64); the velocity starts as zeros. Call it
 * within `noGrad`.
 * @param velocity - may be undefined where momentum is 0
 * @param options - read each time that the step runs, so those that change in a compiled step come from `everyStep`; they
 *   must then all be given
 * @param gradientScale - one number on the device that multiplies every gradient first, such as `clipFactor`
 */
export function sgdStep(
  parameter: OneOrMore,
  gradient: OneOrMore,
  velocity: OneOrMore | undefined,
  options: SgdStep,
  gradientScale?: Tensor,
): void {
  const [parameters, gradients] = [listOf(parameter), listOf(gradient)];
  const velocities = velocity === undefined ? undefined : listOf(velocity);
  checkLengths("sgdStep", {
    parameter: parameters,
    gradient: gradients,
    ...(velocities && { velocity: velocities }),
  });
  const shared = gradientScale === undefined ? [] : [gradientScale];
  apply(
    opFor(parameters.length, velocities !== undefined),
    [...parameters, ...gradients, ...(velocities ?? []), ...shared],
    isComplete(options) ? options : completed(options),
  );
}

function isComplete(options: SgdStep): options is Attrs {
  const { momentum, dampening, weightDecay, nesterov, first } = options;
  return [momentum, dampening, weightDecay, nesterov, first].every((value) => value !== undefined);
}

function completed({
  learningRate,
  momentum = 0,
  dampening = 0,
  weightDecay = 0,
  nesterov = false,
  first = false,
}: SgdStep): Attrs {
  return { learningRate, momentum, dampening, weightDecay, nesterov, first };
}
