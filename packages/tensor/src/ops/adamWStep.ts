import { ValueError } from "../errors.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, type Op } from "./op.ts";
import { checkAlike } from "./updates.ts";

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

const adamWStepOp: Op<AdamWStep> = {
  name: "adamWStep",

  infer(inputs, { step }) {
    checkAlike("adamWStep", names, inputs);
    if (!(Number.isInteger(step) && step >= 1))
      throw new ValueError("adamWStep", `step must be a whole number from 1, got ${step}.`);
    return [];
  },

  cpu([parameter, gradient, first, second], _, attrs) {
    const { decay, beta1, beta2, stepSize, rootCorrection, eps } = factors(attrs);
    const p = parameter.data;
    const g = gradient.data;
    const m = first.data;
    const v = second.data;
    for (let i = 0; i < p.length; i++) {
      const gi = g[i];
      const mi = m[i] + (gi - m[i]) * (1 - beta1);
      const vi = v[i] * beta2 + gi * gi * (1 - beta2);
      m[i] = mi;
      v[i] = vi;
      p[i] = p[i] * decay - (stepSize * mi) / (Math.sqrt(vi) / rootCorrection + eps);
    }
  },

  wgsl([parameter, gradient, first, second], _, attrs) {
    const now = () => factors(attrs); // a compiled step changes attrs from step to step
    return [
      {
        key: "step",
        over: "element",
        count: sizeOf(parameter.shape),
        bindings: [
          { name: "p", view: parameter, access: "update" },
          { name: "g", view: gradient, access: "read" },
          { name: "m", view: first, access: "update" },
          { name: "v", view: second, access: "update" },
        ],
        params: [
          ["decay", "f32", () => now().decay],
          ["rest1", "f32", () => 1 - now().beta1],
          ["beta2", "f32", () => now().beta2],
          ["rest2", "f32", () => 1 - now().beta2],
          ["step_size", "f32", () => now().stepSize],
          ["root_correction", "f32", () => now().rootCorrection],
          ["eps", "f32", () => now().eps],
        ],
        main: () => `let g = g_at(i);
  let m = m_at(i) + (g - m_at(i)) * P.rest1;
  let v = v_at(i) * P.beta2 + g * g * P.rest2;
  m_put(i, m);
  v_put(i, v);
  p_put(i, p_at(i) * P.decay - P.step_size * m / (sqrt(v) / P.root_correction + P.eps));`,
      },
    ];
  },

  mutates: [0, 2, 3],
  gradient: "none: it changes its inputs in place",
  flops: ([parameter]) => 14 * sizeOf(parameter.shape),
};

function factors({ learningRate, betas: [beta1, beta2], eps, weightDecay, step }: AdamWStep) {
  return {
    decay: 1 - learningRate * weightDecay,
    beta1,
    beta2,
    stepSize: learningRate / (1 - beta1 ** step),
    rootCorrection: Math.sqrt(1 - beta2 ** step),
    eps,
  };
}

/**
 * One step of AdamW, in place, in the order of `torch.optim.AdamW`:
 * `p ← p · (1 − lr · weightDecay)`, `m ← m + (1 − β₁)(g − m)`, `v ← β₂ · v + (1 − β₂) · g²`,
 * `p ← p − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps)`. The corrections are computed in float64.
 * All tensors have one shape, f32 (or f64); the moments start as zeros. Call it within `noGrad`.
 * @see Loshchilov & Hutter 2019, algorithm 2, https://arxiv.org/abs/1711.05101
 */
export function adamWStep(
  parameter: Tensor,
  gradient: Tensor,
  firstMoment: Tensor,
  secondMoment: Tensor,
  options: AdamWStep,
): void {
  apply(adamWStepOp, [parameter, gradient, firstMoment, secondMoment], options);
}
