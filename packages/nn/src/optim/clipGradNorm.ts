import {
  add,
  div,
  keep,
  minimum,
  mul,
  noGrad,
  onesLike,
  scope,
  sqrt,
  sumOfSquares,
  type Tensor,
} from "@graft/tensor";
import type { Parameter } from "../parameter.ts";

/**
 * The norm of all gradients together, `sqrt(Σ g²)`, as a scalar on the device; parameters without one count as 0.
 * Reading it is up to the caller.
 */
export function gradNorm(parameters: readonly Parameter[]): Tensor {
  return noGrad(() =>
    scope(() => {
      const gradients = parameters.flatMap(({ grad }) => (grad === undefined ? [] : [grad]));
      if (gradients.length === 0)
        throw new RangeError("gradNorm: no parameter has a gradient. Was backward called?");
      return sqrt(sumOfSquares(gradients));
    }),
  );
}

/**
 * What brings gradients of the joint norm `norm` to at most `maxNorm`, as a scalar on the device: min(1, maxNorm /
 * (norm + 1e-6)), as `torch.nn.utils.clip_grad_norm_`. For `optimizer.step({ gradientScale })`, which then needs no pass
 * over the gradients of its own.
 */
export function clipFactor(norm: Tensor, maxNorm: number): Tensor {
  checkMaxNorm("clipFactor", maxNorm);
  return noGrad(() =>
    scope(() =>
      maxNorm === Number.POSITIVE_INFINITY ? onesLike(norm) : minimum(div(maxNorm, add(norm, 1e-6)), 1),
    ),
  );
}

/**
 * Scales all gradients so that their joint norm is at most `maxNorm`, without reading anything back:
 * the factor is min(1, maxNorm / (norm + 1e-6)), as `torch.nn.utils.clip_grad_norm_`. Returns the norm before.
 */
export function clipGradNorm(parameters: readonly Parameter[], maxNorm: number): Tensor {
  checkMaxNorm("clipGradNorm", maxNorm);
  if (maxNorm === Number.POSITIVE_INFINITY) return gradNorm(parameters);
  return noGrad(() =>
    scope(() => {
      const norm = gradNorm(parameters);
      const factor = clipFactor(norm, maxNorm);
      for (const parameter of parameters) {
        const { grad } = parameter;
        if (grad === undefined) continue;
        parameter.grad = keepScaled(grad, factor);
      }
      return norm;
    }),
  );
}

function checkMaxNorm(who: string, maxNorm: number): void {
  if (!(maxNorm > 0)) throw new RangeError(`${who}: maxNorm must be above 0, got ${maxNorm}.`);
}

function keepScaled(grad: Tensor, factor: Tensor): Tensor {
  const scaled = keep(mul(grad, factor));
  grad.dispose();
  return scaled;
}
