import { adamWStep, keep, noGrad, type Tensor, zeros } from "@graft/tensor";
import { momentFor, type NamedParameters, Optimizer } from "./optimizer.ts";

export interface AdamWOptions {
  /** Per step. Default 1e-3. */
  readonly learningRate?: number;
  /** Decay of the two moments. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Added to √v. Default 1e-8. */
  readonly eps?: number;
  /** Decoupled: each step first multiplies the parameter by 1 − learningRate · weightDecay. Default 0.01. */
  readonly weightDecay?: number;
}

/**
 * Adam with decoupled weight decay, number for number as `torch.optim.AdamW`.
 * @see Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101
 */
export class AdamW extends Optimizer {
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly weightDecay: number;
  readonly #moments: Map<string, { first: Tensor; second: Tensor }>;

  constructor(
    parameters: NamedParameters,
    { learningRate = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 }: AdamWOptions = {},
  ) {
    super(parameters, learningRate);
    if (!(betas[0] >= 0 && betas[0] < 1 && betas[1] >= 0 && betas[1] < 1))
      throw new RangeError(`AdamW: betas must be in [0, 1), got ${betas.join(", ")}.`);
    if (!(eps >= 0)) throw new RangeError(`AdamW: eps must be 0 or more, got ${eps}.`);
    if (!(weightDecay >= 0))
      throw new RangeError(`AdamW: weightDecay must be 0 or more, got ${weightDecay}.`);
    this.betas = betas;
    this.eps = eps;
    this.weightDecay = weightDecay;
    this.#moments = new Map(
      this.named.map(([name, parameter]) => [
        name,
        { first: momentOf(parameter), second: momentOf(parameter) },
      ]),
    );
  }

  override step(): void {
    const updates = this.updates();
    this.steps++;
    const { learningRate, betas, eps, weightDecay, steps: step } = this;
    noGrad(() => {
      for (const { name, parameter, gradient } of updates) {
        const { first, second } = momentFor(this.#moments, name);
        adamWStep(parameter, gradient, first, second, { learningRate, betas, eps, weightDecay, step });
      }
    });
  }

  protected override moments(): Map<string, Tensor> {
    const tensors = new Map<string, Tensor>();
    for (const [name, { first, second }] of this.#moments)
      tensors.set(`${name}.exp_avg`, first).set(`${name}.exp_avg_sq`, second);
    return tensors;
  }

  override dispose(): void {
    for (const { first, second } of this.#moments.values()) {
      first.dispose();
      second.dispose();
    }
    this.#moments.clear();
  }
}

function momentOf(parameter: Tensor): Tensor {
  return keep(zeros(parameter.device, parameter.shape, { dtype: parameter.dtype }));
}
