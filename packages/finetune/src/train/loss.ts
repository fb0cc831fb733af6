import type { LlamaForCausalLM } from "@graft/nn";
import {
  add,
  checkpoint,
  concat,
  crossEntropy,
  type Device,
  fromArray,
  indexSelect,
  noGrad,
  reshape,
  scope,
  slice,
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

/** Bytes that the logits of one product of the head may take: below WebGPU's default binding limit, 128 MiB. */
const LOGIT_BYTES = 96 * 1024 * 1024;

/**
 * Sum of the losses of a batch in nats, a scalar. The caller divides by the targets of the whole step. Where the logits
 * would pass LOGIT_BYTES the head runs on some positions at a time, and again in backward, so that few logits live at once.
 */
export function lossSum(model: LlamaForCausalLM, batch: Batch, logitBytes = LOGIT_BYTES): Tensor {
  const supervision = supervisionOf(batch);
  const states = supervisedStates(model, batch, supervision);
  const pieces = piecesOf(model, supervision, logitBytes);
  const lossOf = (part: Tensor, targets: Int32Array): Tensor =>
    crossEntropy(model.lm_head.forward(part), ints(part.device, targets), { reduction: "sum" });
  if (pieces.length === 1) return lossOf(states, supervision.targets);
  return pieces
    .map(({ start, end, targets }) =>
      checkpoint((part) => lossOf(part, targets), slice(states, 0, start, end)),
    )
    .reduce((a, b) => add(a, b));
}

/** The loss of each supervised token in nats, `[targets]`, in the order of the batch. For evaluation, without gradient. */
export function tokenLosses(model: LlamaForCausalLM, batch: Batch, logitBytes = LOGIT_BYTES): Tensor {
  const supervision = supervisionOf(batch);
  return noGrad(() => {
    const states = supervisedStates(model, batch, supervision);
    const losses = piecesOf(model, supervision, logitBytes).map(({ start, end, targets }) =>
      scope(() => {
        const logits = model.lm_head.forward(slice(states, 0, start, end));
        return crossEntropy(logits, ints(logits.device, targets), { reduction: "none" });
      }),
    );
    return concat(losses, 0);
  });
}

interface Piece {
  readonly start: number;
  readonly end: number;
  readonly targets: Int32Array;
}

/** Cuts the supervised positions so that the logits of each piece fit `logitBytes`. */
function piecesOf(model: LlamaForCausalLM, { targets }: Supervision, logitBytes: number): Piece[] {
  const most = Math.max(1, Math.floor(logitBytes / 4 / model.config.vocabSize));
  return Array.from({ length: Math.ceil(targets.length / most) }, (_, i) => {
    const start = i * most;
    const end = Math.min(start + most, targets.length);
    return { start, end, targets: targets.subarray(start, end) };
  });
}

function ints(device: Device, values: Int32Array): Tensor {
  return fromArray(device, values, [values.length], { dtype: "i32" });
}
