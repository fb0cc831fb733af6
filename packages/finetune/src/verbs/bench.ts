import { injectLora } from "@graft/lora";
import { AdamW, type CausalLM } from "@graft/nn";
import { writeFileAtomic } from "@graft/nn/node";
import { Generator, type Profile, profile } from "@graft/tensor";
import type { BenchOptions } from "../args/options.ts";
import { makeBatch, type StepBatches } from "../dataset/batching.ts";
import { openDevice } from "../device.ts";
import { openModel } from "../model/open.ts";
import type { Output } from "../output.ts";
import { TrainingStep } from "../train/step.ts";

/** Learning rate of the steps: 0 leaves the new adapter without effect, so that every step does the same. */
const LEARNING_RATE = 0;

/** `graft bench`: times LoRA training steps of a model, and one of them kernel by kernel. */
export async function runBench(options: BenchOptions, output: Output): Promise<void> {
  await using opened = await openModel(options.model, {});
  using device = await openDevice(options.device, output.notice);
  const model = await opened.load(device.device);
  injectLora(
    model,
    { rank: options.rank, alpha: 2 * options.rank, targetModules: "all-linear", taskType: "CAUSAL_LM" },
    { generator: new Generator(options.seed), allowTied: true },
  );
  model.train();
  const { seconds, seen } = await timeSteps(model, options, output);
  if (options.trace !== undefined) {
    await writeFileAtomic(options.trace, JSON.stringify(seen.toTrace()));
    output.notice(`The trace is in ${options.trace}; open it with https://ui.perfetto.dev.`);
  }
  const tokens = options.batchSize * options.tokens;
  const middle = median(seconds);
  const { trainable, total } = model.parameterCount();
  output.result(
    {
      device: device.name,
      trainable,
      total,
      tokens,
      seconds,
      medianSeconds: middle,
      tokensPerSecond: tokens / middle,
      timing: seen.timing,
      dispatches: seen.dispatches,
      submits: seen.submits,
      bytes: seen.bytes,
      flops: seen.flops,
      roofline: seen.roofline,
      kernels: seen.rows.map((row) => ({ ...row, share: seen.share(row) })),
    },
    `${seen.toString()}\n\na step of ${options.batchSize} × ${options.tokens} tokens, LoRA of rank ${options.rank}: ${middle.toPrecision(3)} s (median of ${seconds.length}), ${(tokens / middle).toPrecision(3)} tokens/s`,
  );
}

async function timeSteps(
  model: CausalLM,
  { batchSize, tokens, steps }: BenchOptions,
  output: Output,
): Promise<{ seconds: number[]; seen: Profile }> {
  const optimizer = new AdamW(model.namedParameters(), { learningRate: LEARNING_RATE });
  using step = new TrainingStep(model, optimizer, 1);
  const batches = countingBatches(model, batchSize, tokens);
  const { device } = optimizer.parameters[0];
  output.notice("Building the kernels …");
  await step.warmUp(batches);
  await step.run(batches);
  const seconds: number[] = [];
  for (let i = 0; i < steps; i++) {
    const began = performance.now();
    await step.run(batches);
    seconds.push((performance.now() - began) / 1000);
  }
  const seen = await profile(() => step.run(batches), { device });
  optimizer.dispose();
  return { seconds, seen };
}

/** Rows that count 0, 1, 2, …: what is in them changes no time. */
function countingBatches(model: CausalLM, rows: number, tokens: number): StepBatches {
  const ids = Array.from({ length: tokens }, (_, i) => i % model.config.vocabSize);
  const batch = makeBatch(Array.from({ length: rows }, () => ({ inputIds: ids, labels: ids })));
  return { batches: [batch], targets: batch.targets };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
