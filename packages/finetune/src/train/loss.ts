import { type CausalLM, Linear } from "@graft/nn";
import {
  type Device,
  fromArray,
  indexSelect,
  type LinearCrossEntropyOptions,
  linearCrossEntropy,
  noGrad,
  reshape,
  scope,
  type Tensor,
} from "@graft/tensor";
import type { Batch } from "../dataset/batching.ts";
import { IGNORED } from "../dataset/example.ts";

/** Where the loss of a batch looks: positions (of the flattened `[rows · length]`) and the token each must predict. */
export interface Supervision {
  readonly positions: Int32Array;
  readonly targets: Int32Array;
}

/** Position i predicts label i + 1, as in transformers; labels of −100 count for nothing. */
export function supervisionOf({ labels, rows, length }: Batch): Supervision {
  const positions: number[] = [];
  const targets: number[] = [];
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i + 1 < length; i++) {
      const label = labels[row * length + i + 1];
      if (label === IGNORED) continue;
      positions.push(row * length + i);
      targets.push(label);
    }
  }
  return { positions: Int32Array.from(positions), targets: Int32Array.from(targets) };
}

/** What a batch asks of a model, as tensors on its device. */
export interface BatchTensors {
  /** `[rows, length]`, i32 */
  readonly ids: Tensor;
  /** Of the flattened `[rows · length]`, i32; only these positions get logits. */
  readonly positions: Tensor;
  /** The token that each position must predict; −100 counts for nothing. */
  readonly targets: Tensor;
}

/** The tensors of a batch; belong to the innermost scope. */
export function batchTensors(device: Device, batch: Batch): BatchTensors {
  const { positions, targets } = supervisionOf(batch);
  const ints = (values: Int32Array, shape = [values.length]): Tensor =>
    fromArray(device, values, shape, { dtype: "i32" });
  return {
    ids: ints(batch.inputIds, [batch.rows, batch.length]),
    positions: ints(positions),
    targets: ints(targets),
  };
}

/**
 * Sum of the losses of a batch in nats, a scalar. The caller divides by the targets of the whole step.
 * @param logitBytes - bytes that logits may take at once. Default: that of `linearCrossEntropy`
 */
export function lossSum(model: CausalLM, batch: Batch, logitBytes?: number): Tensor {
  return scope(() => lossOf(model, batchTensors(deviceOf(model), batch), { reduction: "sum", logitBytes }));
}

/** The loss of each supervised token in nats, `[targets]`, in the order of the batch. For evaluation, without gradient. */
export function tokenLosses(model: CausalLM, batch: Batch, logitBytes?: number): Tensor {
  return noGrad(() =>
    scope(() => lossOf(model, batchTensors(deviceOf(model), batch), { reduction: "none", logitBytes })),
  );
}

export function deviceOf(model: CausalLM): Device {
  return model.device;
}

/** Cross-entropy of the supervised positions. */
export function lossOf(
  model: CausalLM,
  { ids, positions, targets }: BatchTensors,
  options: LinearCrossEntropyOptions,
): Tensor {
  const hidden = model.hidden(ids);
  const [rows, length, width] = hidden.shape;
  const states = indexSelect(reshape(hidden, [rows * length, width]), 0, positions);
  const { lm_head: head } = model;
  const isMatrix = head instanceof Linear && head.bias === undefined;
  return linearCrossEntropy(states, isMatrix ? head.weight : head, targets, options);
}
