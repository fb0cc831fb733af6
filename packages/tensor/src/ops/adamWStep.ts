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

export interface AdamWStep {
  /** Of this step. */
  readonly learningRate: number;
  readonly betas: readonly [number, number];
  /** Added to √v. */
  readonly eps: number;
  /** Decoupled: the parameter is first multiplied by 1 − learningRate · weightDecay. */
  readonly weightDecay: number;
  /** Counts from 1, for the bias corrections. */
  readonly step: number;
}

const names = ["parameter", "gradient", "firstMoment", "secondMoment"];

const ops = new Map<number, Op<AdamWStep>>();

/** Inputs: `count` parameters, gradients, first and second moments, and last (maybe) what scales the gradients. One op for each count. */
function opFor(count: number): Op<AdamWStep> {
  const known = ops.get(count);
  if (known !== undefined) return known;
  const layout: Layout = { names, count };
  const op: Op<AdamWStep> = {
    ...updateOp(layout, [0, 2, 3]),
    name: "adamWStep",

    infer(inputs, { step }) {
      checkAlike("adamWStep", inputs, layout);
      if (inputs.length > 4 * count) checkFactor("adamWStep", "gradientScale", inputs[4 * count], inputs[0]);
      if (!(Number.isInteger(step) && step >= 1))
        throw new ValueError("adamWStep", `step must be a whole number from 1, got ${step}.`);
      return [];
    },

    cpu(inputs, _, attrs) {
      const scale = inputs.length > 4 * count ? inputs[4 * count].data[0] : 1;
      const [parameters, gradients, firsts, seconds] = groupsOf(inputs, layout);
      for (let k = 0; k < count; k++)
        stepOnCpu(parameters[k], gradients[k], firsts[k], seconds[k], scale, attrs);
    },

    // The numbers that follow from the attributes are asked for at each run, since a compiled step changes them.
    wgsl(inputs, _, attrs) {
      const [parameters, gradients, firsts, seconds] = groupsOf(inputs, layout);
      const scale = inputs.length > 4 * count ? inputs[4 * count] : undefined;
      return updateKernels(
        scale === undefined ? "step" : "scaled",
        [
          { name: "p", views: parameters, access: "update" },
          { name: "g", views: gradients, access: "read" },
          { name: "m", views: firsts, access: "update" },
          { name: "v", views: seconds, access: "update" },
        ],
        scale === undefined ? [] : [{ name: "scale", view: scale, access: "read" }],
        [
          ["decay", "f32", () => factors(attrs).decay],
          ["rest1", "f32", () => 1 - attrs.betas[0]],
          ["beta2", "f32", () => attrs.betas[1]],
          ["rest2", "f32", () => 1 - attrs.betas[1]],
          ["step_size", "f32", () => factors(attrs).stepSize],
          ["root_correction", "f32", () => factors(attrs).rootCorrection],
          ["eps", "f32", () => attrs.eps],
        ],
        `let g = g_here${scale === undefined ? "" : " * scale_at(0u)"};
  let m = m_here + (g - m_here) * P.rest1;
  let v = v_here * P.beta2 + g * g * P.rest2;
  m_set(m);
  v_set(v);
  p_set(p_here * P.decay - P.step_size * m / (sqrt(v) / P.root_correction + P.eps));`,
      );
    },

    gradient: "none: it changes its inputs in place",
    flops: (inputs) => 14 * updatedSize(inputs, layout),
  };
  ops.set(count, op);
  return op;
}

function stepOnCpu(
  parameter: CpuArray,
  gradient: CpuArray,
  first: CpuArray,
  second: CpuArray,
  scale: number,
  attrs: AdamWStep,
): void {
  const { decay, stepSize, rootCorrection } = factors(attrs);
  const {
    betas: [beta1, beta2],
    eps,
  } = attrs;
  const p = parameter.data;
  const g = gradient.data;
  const m = first.data;
  const v = second.data;
  // A scaled gradient is rounded as if it had been stored.
  const stored = parameter.dtype === "f32" && scale !== 1 ? Math.fround : (value: number) => value;
  for (let i = 0; i < p.length; i++) {
    const gi = stored(g[i] * scale);
    const mi = m[i] + (gi - m[i]) * (1 - beta1);
    const vi = v[i] * beta2 + gi * gi * (1 - beta2);
    m[i] = mi;
    v[i] = vi;
    p[i] = p[i] * decay - (stepSize * mi) / (Math.sqrt(vi) / rootCorrection + eps);
  }
}

/** In float64, whatever the device. */
function factors({ learningRate, betas: [beta1, beta2], weightDecay, step }: AdamWStep) {
  return {
    decay: 1 - learningRate * weightDecay,
    stepSize: learningRate / (1 - beta1 ** step),
    rootCorrection: Math.sqrt(1 - beta2 ** step),
  };
}

/**
 * One step of AdamW, in place, in the order of `torch.optim.AdamW`:
 * `p ← p · (1 − lr · weightDecay)`, `m ← m + (1 − β₁)(g − m)`, `v ← β₂ · v + (1 − β₂) · g²`,
 * `p ← p − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps)`. The corrections are computed in float64.
 *
 * Takes one tensor of each kind or lists of them. Where neighbours of every list lie side by side in one storage, one
 * dispatch changes them all. The four of one parameter have one shape, f32 (or f64); the moments start as zeros. Call it
 * within `noGrad`.
 * @param gradientScale - one number on the device that multiplies every gradient first, such as `clipFactor`
 * @see Loshchilov & Hutter 2019, algorithm 2, https://arxiv.org/abs/1711.05101
 */
export function adamWStep(
  parameter: OneOrMore,
  gradient: OneOrMore,
  firstMoment: OneOrMore,
  secondMoment: OneOrMore,
  options: AdamWStep,
  gradientScale?: Tensor,
): void {
  const lists = {
    parameter: listOf(parameter),
    gradient: listOf(gradient),
    firstMoment: listOf(firstMoment),
    secondMoment: listOf(secondMoment),
  };
  checkLengths("adamWStep", lists);
  const shared = gradientScale === undefined ? [] : [gradientScale];
  apply(opFor(lists.parameter.length), [...Object.values(lists).flat(), ...shared], options);
}
