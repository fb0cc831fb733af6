import { adamWStep, noGrad, type Tensor } from "@graft/tensor";
import { changesNothing, everyStep } from "@graft/tensor/op";
import { momentsFor } from "./moments.ts";
import {
  momentsOf,
  type NamedParameters,
  Optimizer,
  type ParameterGroup,
  type StepOptions,
} from "./optimizer.ts";

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
  readonly #first: Map<string, Tensor>;
  readonly #second: Map<string, Tensor>;

  constructor(
    parameters: NamedParameters | readonly ParameterGroup[],
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
    const [first, second] = [0, 1].map(() => momentsFor(this.parameters));
    this.#first = new Map(this.named.map(([name], i) => [name, first[i]]));
    this.#second = new Map(this.named.map(([name], i) => [name, second[i]]));
  }

  override step({ gradientScale }: StepOptions = {}): void {
    const updates = this.updates();
    const { betas, eps } = this;
    everyStep(
      () => ({ steps: ++this.steps }),
      () => {
        this.steps--;
      },
    );
    noGrad(() => {
      for (const { group, names, parameters, gradients } of updates) {
        const options = everyStep(
          () => ({
            learningRate: group.learningRate ?? this.learningRate,
            betas,
            eps,
            weightDecay: group.weightDecay ?? this.weightDecay,
            step: this.steps,
          }),
          changesNothing,
        );
        const [first, second] = [this.#first, this.#second].map((moments) => momentsOf(moments, names));
        adamWStep(parameters, gradients, first, second, options, gradientScale);
      }
    });
  }

  protected override moments(): Map<string, Tensor> {
    const tensors = new Map<string, Tensor>();
    for (const [name] of this.named) {
      const [first, second] = [this.#first, this.#second].map((moments) => momentsOf(moments, [name])[0]);
      tensors.set(`${name}.exp_avg`, first).set(`${name}.exp_avg_sq`, second);
    }
    return tensors;
  }

  override dispose(): void {
    for (const moments of [this.#first, this.#second]) {
      for (const tensor of moments.values()) tensor.dispose();
      moments.clear();
    }
  }
}
