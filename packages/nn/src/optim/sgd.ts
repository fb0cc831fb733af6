import { noGrad, sgdStep, type Tensor } from "@graft/tensor";
import { changesNothing, everyStep } from "@graft/tensor/op";
import { momentsFor } from "./moments.ts";
import {
  momentsOf,
  type NamedParameters,
  Optimizer,
  type ParameterGroup,
  type StepOptions,
} from "./optimizer.ts";

export interface SgdOptions {
  /** Per step. Default 1e-3. */
  readonly learningRate?: number;
  /** Default 0. */
  readonly momentum?: number;
  /** 1 − dampening multiplies each gradient that is added to the velocity, but for the first. Default 0. */
  readonly dampening?: number;
  /** Added to the gradient as weightDecay · parameter (coupled). Default 0. */
  readonly weightDecay?: number;
  /** Default false. */
  readonly nesterov?: boolean;
}

/** Stochastic gradient descent with momentum, number for number as `torch.optim.SGD`. */
export class SGD extends Optimizer {
  readonly momentum: number;
  readonly dampening: number;
  readonly weightDecay: number;
  readonly nesterov: boolean;
  readonly #velocity: Map<string, Tensor>;

  constructor(
    parameters: NamedParameters | readonly ParameterGroup[],
    { learningRate = 1e-3, momentum = 0, dampening = 0, weightDecay = 0, nesterov = false }: SgdOptions = {},
  ) {
    super(parameters, learningRate);
    if (!(momentum >= 0)) throw new RangeError(`SGD: momentum must be 0 or more, got ${momentum}.`);
    if (!(weightDecay >= 0)) throw new RangeError(`SGD: weightDecay must be 0 or more, got ${weightDecay}.`);
    if (nesterov && (momentum === 0 || dampening !== 0))
      throw new RangeError(
        `SGD: nesterov needs a momentum above 0 and no dampening, got ${momentum} and ${dampening}.`,
      );
    this.momentum = momentum;
    this.dampening = dampening;
    this.weightDecay = weightDecay;
    this.nesterov = nesterov;
    const velocity = momentum === 0 ? [] : momentsFor(this.parameters);
    this.#velocity = new Map(velocity.map((tensor, i) => [this.named[i][0], tensor]));
  }

  override step({ gradientScale }: StepOptions = {}): void {
    const updates = this.updates();
    const { momentum, dampening, nesterov } = this;
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
            momentum,
            dampening,
            weightDecay: group.weightDecay ?? this.weightDecay,
            nesterov,
            first: this.steps === 1,
          }),
          changesNothing,
        );
        const velocity = momentum === 0 ? undefined : momentsOf(this.#velocity, names);
        sgdStep(parameters, gradients, velocity, options, gradientScale);
      }
    });
  }

  protected override moments(): Map<string, Tensor> {
    return new Map([...this.#velocity].map(([name, tensor]) => [`${name}.momentum_buffer`, tensor]));
  }

  override dispose(): void {
    for (const tensor of this.#velocity.values()) tensor.dispose();
    this.#velocity.clear();
  }
}
