import { Linear, type LlamaForCausalLM } from "@graft/nn";
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

/** The states of the supervised positions, `[targets, hidden]`: only these need logits. */
function supervisedStates(model: LlamaForCausalLM, batch: Batch, { positions }: Supervision): Tensor {
  const { device } = model.model.norm.weight;
  const ids = fromArray(device, batch.inputIds, [batch.rows, batch.length], { dtype: "i32" });
  const hidden = model.hidden(ids);
  const flat = reshape(hidden, [batch.rows * batch.length, hidden.shape[2]]);
  return indexSelect(flat, 0, ints(device, positions));
}

/**
 * Sum of the losses of a batch in nats, a scalar. The caller divides by the targets of the whole step.
 * @param logitBytes - bytes that logits may take at once. Default: that of `linearCrossEntropy`
 */
export function lossSum(model: LlamaForCausalLM, batch: Batch, logitBytes?: number): Tensor {
  return scope(() => loss(model, batch, { reduction: "sum", logitBytes }));
}

/** The loss of each supervised token in nats, `[targets]`, in the order of the batch. For evaluation, without gradient. */
export function tokenLosses(model: LlamaForCausalLM, batch: Batch, logitBytes?: number): Tensor {
  return noGrad(() => scope(() => loss(model, batch, { reduction: "none", logitBytes })));
}

function loss(model: LlamaForCausalLM, batch: Batch, options: LinearCrossEntropyOptions): Tensor {
  const supervision = supervisionOf(batch);
  const states = supervisedStates(model, batch, supervision);
  const { lm_head: head } = model;
  const isMatrix = head instanceof Linear && head.bias === undefined;
  return linearCrossEntropy(
    states,
    isMatrix ? head.weight : head,
    ints(states.device, supervision.targets),
    options,
  );
}

function ints(device: Device, values: Int32Array): Tensor {
  return fromArray(device, values, [values.length], { dtype: "i32" });
}
