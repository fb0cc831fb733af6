import { AdamW, type CausalLM } from "@graft/nn";
import { QuantizedEmbedding, QuantizedLinear } from "@graft/quant";
import { bytesPer, type Device, keep, scope, zeros } from "@graft/tensor";
import type { FinetuneOptions } from "./args/options.ts";
import { makeBatch } from "./dataset/batching.ts";
import type { Example } from "./dataset/example.ts";
import type { Output } from "./output.ts";
import { TrainingStep } from "./train/step.ts";

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
  /** The copy of what is trained to which a run that diverges goes back. */
  readonly lastGood: number;
  /** Rotary tables, which the first step makes. */
  readonly tables: number;
  /** What the values of one step take, gradients among them, as the compiled step lays them out. */
  readonly stepBytes: number;
  /** All of it at once: base weights, adapters, moments, the copy, the tables and the step. */
  readonly peakBytes: number;
}

/**
 * Makes the state of training, reads the allocator after each part, plans a step without running it, and frees what it made.
 *
 * @param model - with its adapter
 * @param baseBytes - what the device held before the adapter came
 * @param examples - of which the longest are planned for
 */
export function planTraining(
  model: CausalLM,
  device: Device,
  baseBytes: number,
  examples: readonly Example[],
  { batchSize, accumulate, maxGradNorm }: Pick<FinetuneOptions, "batchSize" | "accumulate" | "maxGradNorm">,
): TrainingPlan {
  const { trainable, total } = model.parameterCount();
  const named = [...model.namedParameters()].filter(([, parameter]) => parameter.requiresGrad);
  const live = (): number => device.memory().liveBytes;
  const adapted = live();
  const gradients = scope(() => named.map(([, { shape, dtype }]) => keep(zeros(device, shape, { dtype }))));
  const withGradients = live();
  for (const gradient of gradients) gradient.dispose();
  const optimizer = new AdamW(named);
  const withMoments = live();
  model.train();
  using step = new TrainingStep(model, optimizer, maxGradNorm);
  const withStep = live();
  const longest = [...examples].sort((a, b) => b.inputIds.length - a.inputIds.length).slice(0, batchSize);
  const stepBytes = step.plan(makeBatch(longest)).bytes;
  const withTables = live(); // of rotary positions, which the model makes at the first step and keeps
  optimizer.dispose();
  const state = {
    baseWeights: baseBytes,
    adapters: adapted - baseBytes,
    gradients: withGradients - adapted,
    moments: withMoments - adapted,
  };
  return {
    trainable,
    total,
    state,
    base: baseParts(model, baseBytes),
    staticBytes: Object.values(state).reduce((sum, bytes) => sum + bytes, 0),
    lastGood: withStep - withMoments,
    tables: withTables - withStep,
    stepBytes,
    // Gradients that wait for the next micro-batch live beside its step.
    peakBytes: withTables + stepBytes + (accumulate > 1 ? state.gradients : 0),
  };
}

/** The plan as the verb's result. */
export function sayPlan(plan: TrainingPlan, deviceName: string, output: Output): void {
  const { state, base, staticBytes, lastGood, stepBytes, peakBytes } = plan;
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
    row("copy of the last good state", lastGood),
    row("values of a step", stepBytes),
    row("planned peak", peakBytes),
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
