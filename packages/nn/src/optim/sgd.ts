import { keep, noGrad, sgdStep, type Tensor, zeros } from "@graft/tensor";
import { type NamedParameters, Optimizer } from "./optimizer.ts";

export interface SgdOptions {
  /** Per step. Default 1e-3. */
  readonly learningRate?: number;
  /** Default 0. */
  readonly momentum?: number;
  /** Added to the gradient as weightDecay · parameter (coupled). Default 0. */
  readonly weightDecay?: number;
  /** Default false. */
  readonly nesterov?: boolean;
}

/** Stochastic gradient descent with momentum, number for number as `torch.optim.SGD`. */
export class SGD extends Optimizer {
  readonly momentum: number;
  readonly weightDecay: number;
  readonly nesterov: boolean;
  #step = 0;
  readonly #velocity: Map<string, Tensor>;

  constructor(
    parameters: NamedParameters,
    { learningRate = 1e-3, momentum = 0, weightDecay = 0, nesterov = false }: SgdOptions = {},
  ) {
    super(parameters, learningRate);
    if (!(momentum >= 0)) throw new RangeError(`SGD: momentum must be 0 or more, got ${momentum}.`);
    if (nesterov && momentum === 0) throw new RangeError("SGD: nesterov needs a momentum above 0, got 0.");
    this.momentum = momentum;
    this.weightDecay = weightDecay;
    this.nesterov = nesterov;
    this.#velocity = new Map(
      momentum === 0
        ? []
        : this.named.map(([name, parameter]) => [
            name,
            keep(zeros(parameter.device, parameter.shape, { dtype: parameter.dtype })),
          ]),
    );
  }

  override step(): void {
    const gradients = this.named.map(([name, parameter]) => this.gradientOf(name, parameter));
    const { learningRate, momentum, weightDecay, nesterov } = this;
    noGrad(() => {
      this.named.forEach(([name, parameter], i) => {
        sgdStep(parameter, gradients[i], this.#velocity.get(name), {
          learningRate,
          momentum,
          weightDecay,
          nesterov,
          first: this.#step === 0,
        });
      });
    });
    this.#step++;
  }

  override state(): { step: number; tensors: Map<string, Tensor> } {
    return {
      step: this.#step,
      tensors: new Map([...this.#velocity].map(([name, tensor]) => [`${name}.momentum_buffer`, tensor])),
    };
  }

  override dispose(): void {
    for (const tensor of this.#velocity.values()) tensor.dispose();
    this.#velocity.clear();
  }
}
