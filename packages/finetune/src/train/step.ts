import { type AdamW, type CausalLM, clipFactor, gradNorm } from "@graft/nn";
import {
  add,
  allFinite,
  type Compiled,
  cast,
  clone,
  compile,
  copyInto,
  copyWhere,
  fromArray,
  keep,
  logicalAnd,
  logicalNot,
  mul,
  noGrad,
  openScope,
  type PlanReport,
  scope,
  stack,
  type Tensor,
  zeros,
} from "@graft/tensor";
import type { Batch, StepBatches } from "../dataset/batching.ts";
import { type BatchTensors, deviceOf, lossOf } from "./loss.ts";
import { padBatch } from "./padding.ts";

/** Loss and joint gradient norm of a step, before its update and before clipping. */
export interface Measured {
  readonly loss: number;
  readonly gradNorm: number;
}

/**
 * One optimiser step over all that the parameters of a model need, compiled: forward, backward, clipping, AdamW, and what keeps a run that
 * diverges from losing its parameters. Nothing is read in between, so that steps can be queued before the last one is done: after a loss or norm that
 * is not finite, the device itself goes back to the last parameters that gave a finite loss, and stays there.
 */
export class TrainingStep implements Disposable {
  readonly #model: CausalLM;
  readonly #optimizer: AdamW;
  readonly #maxGradNorm: number;
  /** The last parameters that gave a finite loss. */
  readonly #lastGood: readonly Tensor[];
  /** Whether a step has failed, bool. */
  readonly #failed: Tensor;
  /** Shapes of batches for which everything is built. */
  readonly #warm = new Set<string>();
  readonly #whole: Compiled<[BatchTensors, Tensor], Tensor>;
  readonly #part: Compiled<[BatchTensors, Tensor], Tensor>;
  readonly #update: Compiled<[Tensor], Tensor>;

  /** @param maxGradNorm - joint norm to which gradients are scaled; 0 leaves them */
  constructor(model: CausalLM, optimizer: AdamW, maxGradNorm: number) {
    this.#model = model;
    this.#optimizer = optimizer;
    this.#maxGradNorm = maxGradNorm;
    this.#lastGood = noGrad(() => optimizer.parameters.map((parameter) => keep(clone(parameter))));
    this.#failed = keep(zeros(deviceOf(model), [], { dtype: "bool" }));
    const part = (batch: BatchTensors, scale: Tensor): Tensor => this.#backward(batch, scale);
    this.#whole = compile((batch: BatchTensors, scale: Tensor) => this.#finish(part(batch, scale)));
    this.#part = compile(part);
    this.#update = compile((loss: Tensor) => this.#finish(loss));
  }

  /** Builds what steps of such batches need, all at once, before the first of them is queued. */
  async warmUp({ batches, targets }: StepBatches): Promise<void> {
    using _ = openScope();
    const given = batches.filter((batch) => batch.targets > 0);
    for (const batch of given) {
      const { rows, length, targets: supervised } = padBatch(batch);
      const shape = `${given.length > 1} ${rows} ${length} ${supervised.length}`;
      if (this.#warm.has(shape)) continue;
      this.#warm.add(shape);
      await (given.length === 1 ? this.#whole : this.#part).warmUp(this.#tensorsOf(batch), 1 / targets);
    }
  }

  /** Queues a step and returns its figures when they are there. */
  async run({ batches, targets }: StepBatches): Promise<Measured> {
    using _ = openScope();
    const scale = 1 / targets;
    const given = batches.filter((batch) => batch.targets > 0);
    let figures: Tensor;
    if (given.length === 1) figures = this.#whole(this.#tensorsOf(given[0]), scale);
    else {
      const losses = given.map((batch) => this.#part(this.#tensorsOf(batch), scale));
      figures = this.#update(losses.reduce((a, b) => add(a, b)));
    }
    const [loss, norm] = await figures.toArray();
    return { loss, gradNorm: norm };
  }

  /** What a step of one such batch takes, without taking it. */
  plan(batch: Batch): PlanReport {
    using _ = openScope();
    return this.#whole.plan(this.#tensorsOf(batch), 1 / batch.targets);
  }

  /** Copies back the last parameters that gave a finite loss. */
  restore(): void {
    noGrad(() => {
      for (const [i, copy] of this.#lastGood.entries()) copyInto(this.#optimizer.parameters[i], copy);
    });
  }

  [Symbol.dispose](): void {
    for (const step of [this.#whole, this.#part, this.#update]) step.dispose();
    for (const tensor of [...this.#lastGood, this.#failed]) tensor.dispose();
  }

  #tensorsOf(batch: Batch): BatchTensors {
    const { ids, rows, length, positions, targets } = padBatch(batch);
    const ints = (values: Int32Array, shape = [values.length]): Tensor =>
      fromArray(deviceOf(this.#model), values, shape, { dtype: "i32" });
    return { ids: ints(ids, [rows, length]), positions: ints(positions), targets: ints(targets) };
  }

  /** Adds the gradients of a batch; returns its part of the step's loss. */
  #backward(batch: BatchTensors, scale: Tensor): Tensor {
    return scope(() => {
      const loss = mul(lossOf(this.#model, batch, { reduction: "sum" }), scale);
      loss.backward();
      return loss.detach();
    });
  }

  /** Updates the parameters from their gradients; returns `[loss, norm]`. */
  #finish(loss: Tensor): Tensor {
    const { parameters } = this.#optimizer;
    return scope(() =>
      noGrad(() => {
        const norm = gradNorm(parameters);
        const works = logicalNot(this.#failed);
        const hasLoss = logicalAnd(works, allFinite(loss));
        copyWhere(hasLoss, this.#lastGood, parameters);
        const gradientScale = this.#maxGradNorm > 0 ? clipFactor(norm, this.#maxGradNorm) : undefined;
        this.#optimizer.step({ gradientScale });
        this.#optimizer.zeroGrad();
        const fails = logicalNot(logicalAnd(hasLoss, allFinite(norm)));
        copyWhere(fails, parameters, this.#lastGood);
        copyInto(this.#failed, fails);
        return stack([cast(loss, norm.dtype), norm]);
      }),
    );
  }
}
