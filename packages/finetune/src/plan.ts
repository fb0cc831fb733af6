import { AdamW, type CausalLM } from "@graft/nn";
import { QuantizedEmbedding, QuantizedLinear } from "@graft/quant";
import { bytesPer, type Device, keep, scope, zeros } from "@graft/tensor";
import type { FinetuneOptions } from "./args/options.ts";
import type { Output } from "./output.ts";

/** The memory that training takes on the device, in bytes. */
export interface TrainingPlan {
  /** Values that are trained, and all. */
  readonly trainable: number;
  readonly total: number;
  /** What lives from the first step to the last, as the device's allocator counts it. */
  readonly state: {
    readonly baseWeights: number;
    readonly adapters: number;
    readonly gradients: number;
    readonly moments: number;
  };
  /** What the base weights are: linear layers in few bits, the embedding with a head tied to it, all others. */
  readonly base: { readonly packed: number; readonly embedding: number; readonly other: number };
  /** The sum of the state. */
  readonly staticBytes: number;
  /** The state and what one step needs beside it. */
  readonly peakBytes: number;
}

/**
 * Makes the state of training, reads the allocator after each part, and frees gradients and moments again.
 *
 * @param model - with its adapter
 * @param baseBytes - what the device held before the adapter came
 */
export function planTraining(
  model: CausalLM,
  device: Device,
  baseBytes: number,
  options: Pick<FinetuneOptions, "batchSize" | "sequenceLength">,
): TrainingPlan {
  const { trainable, total } = model.parameterCount();
  const named = [...model.namedParameters()].filter(([, parameter]) => parameter.requiresGrad);
  const live = (): number => device.memory().liveBytes;
  const adapted = live();
  const gradients = scope(() => named.map(([, { shape, dtype }]) => keep(zeros(device, shape, { dtype }))));
  const withGradients = live();
  const optimizer = new AdamW(named);
  const withMoments = live();
  optimizer.dispose();
  for (const gradient of gradients) gradient.dispose();
  const state = {
    baseWeights: baseBytes,
    adapters: adapted - baseBytes,
    gradients: withGradients - adapted,
    moments: withMoments - withGradients,
  };
  const staticBytes = Object.values(state).reduce((sum, bytes) => sum + bytes, 0);
  const peakBytes = staticBytes + stepBytes(model, options);
  return { trainable, total, state, base: baseParts(model, baseBytes), staticBytes, peakBytes };
}

/** The plan as the verb's result. */
export function sayPlan(plan: TrainingPlan, deviceName: string, output: Output): void {
  const { state, base, staticBytes, peakBytes } = plan;
  const row = (name: string, bytes: number): string =>
    `${name.padEnd(30)}${(bytes / 1e6).toFixed(1).padStart(10)} MB`;
  const text = [
    "static training state",
    row("  base weights", state.baseWeights),
    ...(base.packed > 0 ? [row("    linear layers, packed", base.packed)] : []),
    row("    embedding", base.embedding),
    row("    other weights", base.other),
    row("  adapters", state.adapters),
    row("  gradients", state.gradients),
    row("  moments", state.moments),
    row("  sum", staticBytes),
    row("planned peak of a step", peakBytes),
  ].join("\n");
  output.result({ event: "plan", device: deviceName, ...plan }, text);
}

function baseParts(model: CausalLM, baseBytes: number): TrainingPlan["base"] {
  const bytesOf = (
    parameters: Iterable<{ readonly size: number; readonly dtype: Parameters<typeof bytesPer>[0] }>,
  ) => [...parameters].reduce((sum, { size, dtype }) => sum + size * bytesPer(dtype), 0);
  const table = new Set(model.tokenEmbedding.parameters());
  const packed = new Set(
    [...model.namedModules()].flatMap(([, module]) =>
      module instanceof QuantizedLinear || module instanceof QuantizedEmbedding
        ? module
            .parameters()
            .filter((parameter) => !table.has(parameter) && parameter !== Reflect.get(module, "bias"))
        : [],
    ),
  );
  const [packedBytes, embedding] = [bytesOf(packed), bytesOf(table)];
  return { packed: packedBytes, embedding, other: baseBytes - packedBytes - embedding };
}

/**
 * What one step holds beside the state: what the gradients of each layer will read (inputs of norms, projections and
 * activations, in f32), the logits of one piece with their gradient, and the largest weight gradient on its way.
 */
function stepBytes(
  model: CausalLM,
  { batchSize, sequenceLength }: Pick<FinetuneOptions, "batchSize" | "sequenceLength">,
): number {
  const c = model.config;
  const tokens = batchSize * sequenceLength;
  const q = c.numAttentionHeads * c.headDim;
  const kv = c.numKeyValueHeads * c.headDim;
  const perToken = c.numHiddenLayers * (6 * c.hiddenSize + 3 * (q + 2 * kv) + 4 * c.intermediateSize);
  const logits = Math.min(tokens * c.vocabSize, LOGITS);
  return 4 * (tokens * perToken + 2 * logits);
}

/** Logits that live at once at most: see `lossSum`. */
const LOGITS = 24 * 2 ** 20;
