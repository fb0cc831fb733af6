import type { LlamaForCausalLM } from "@graft/nn";
import { crossEntropy, type Device, fromArray, indexSelect, reshape, type Tensor } from "@graft/tensor";
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
export function supervisedStates(model: LlamaForCausalLM, batch: Batch, { positions }: Supervision): Tensor {
  const { device } = model.model.norm.weight;
  const ids = fromArray(device, batch.inputIds, [batch.rows, batch.length], { dtype: "i32" });
  const hidden = model.hidden(ids);
  const flat = reshape(hidden, [batch.rows * batch.length, hidden.shape[2]]);
  return indexSelect(flat, 0, ints(device, positions));
}

/** Sum of the losses of a batch in nats, a scalar. The caller divides by the targets of the whole step. */
export function lossSum(model: LlamaForCausalLM, batch: Batch): Tensor {
  const supervision = supervisionOf(batch);
  const logits = model.lm_head.forward(supervisedStates(model, batch, supervision));
  return crossEntropy(logits, ints(logits.device, supervision.targets), { reduction: "sum" });
}

/** The loss of each supervised token in nats, `[targets]`, in the order of the batch. */
export function tokenLosses(model: LlamaForCausalLM, batch: Batch): Tensor {
  const supervision = supervisionOf(batch);
  const logits = model.lm_head.forward(supervisedStates(model, batch, supervision));
  return crossEntropy(logits, ints(logits.device, supervision.targets), { reduction: "none" });
}

function ints(device: Device, values: Int32Array): Tensor {
  return fromArray(device, values, [values.length], { dtype: "i32" });
}
