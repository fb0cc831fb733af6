import { basename } from "node:path";
import { injectLora, saveAdapter, trainableSummary } from "@graft/lora";
import type { CausalLM } from "@graft/nn";
import { type FileContent, writeFolderAtomic } from "@graft/nn/node";
import { type DeviceLostError, Generator } from "@graft/tensor";
import type { FinetuneOptions } from "../args/options.ts";
import { stepsForEpochs, trainingBatches } from "../dataset/batching.ts";
import { type Dataset, datasetNotices } from "../dataset/example.ts";
import { readData } from "../dataset/read.ts";
import { demoOf } from "../demo.ts";
import { type OpenedDevice, openDevice } from "../device.ts";
import { GraftError } from "../errors.ts";
import { type OpenedAdapter, openAdapter } from "../model/adapter.ts";
import { openModel } from "../model/open.ts";
import type { OpenedModel } from "../model/opened.ts";
import { modelFiles } from "../model/write.ts";
import { checkOut } from "../out.ts";
import type { Output } from "../output.ts";
import { planTraining, sayPlan } from "../plan.ts";
import { Progress } from "../progress.ts";
import type { RunContext } from "../run.ts";
import { evaluate } from "../train/evaluate.ts";
import { DivergedError, type TrainerOptions, type TrainingResult, train } from "../train/trainer.ts";

/** `graft finetune`: trains an adapter (or every parameter) on a text and writes it to `--out`. */
export async function runFinetune(
  given: FinetuneOptions,
  output: Output,
  context: RunContext,
): Promise<void> {
  const demo = given.source.demo ? demoOf(given, given.source) : undefined;
  const options = demo?.options ?? given;
  const { model: modelPath, data, out } = demo?.source ?? sourceOf(given);
  const read = [
    modelPath,
    data,
    options.evalData,
    options.trained.kind === "from" ? options.trained.adapter : undefined,
  ];
  await checkOut(
    "finetune",
    out,
    options.force,
    read.filter((path) => path !== undefined),
  );
  await using opened = await openModel(modelPath, { tokenizer: options.tokenizer });
  checkPacked(opened, options);
  const adapter = options.trained.kind === "from" ? await openAdapter(options.trained.adapter) : undefined;
  const dataset = await readWith(opened, options, data, "train", output);
  const evalData =
    options.evalData === undefined
      ? undefined
      : await readWith(opened, options, options.evalData, "eval", output);
  using device = await openDevice(options.device, output.notice);
  // Replaced where the GPU is lost.
  let model = await opened.load(device.device, { weights: weightsOf(opened, options) });
  const baseBytes = device.device.memory().liveBytes;
  const generator = await prepare(model, options, adapter);
  if (options.dryRun) {
    const plan = planTraining(model, device.device, baseBytes, dataset.examples, options);
    return sayPlan(plan, device.name, output);
  }
  const steps =
    "steps" in options.length
      ? options.length.steps
      : stepsForEpochs(dataset.examples.length, options.length.epochs, options.batchSize, options.accumulate);
  const { trainable, total } = model.parameterCount();
  output.notice(trainableSummary(model));
  output.event({ event: "start", trainable, total, device: device.name, steps });

  const measure = async (step: number): Promise<void> => {
    if (evalData === undefined) return;
    model.eval();
    const { loss, perplexity } = await evaluate(model, evalData.examples);
    output.event({ event: "eval", step, loss, perplexity });
    output.notice(
      `${step === 0 ? "before" : "after"} training: held-out loss ${loss.toFixed(4)}, perplexity ${perplexity.toFixed(2)}`,
    );
  };
  const save = async (): Promise<void> =>
    writeFolderAtomic(out, await filesOf(model, opened, options), { force: options.force });

  await measure(0);
  await demo?.sample(model, opened, "before", output);
  model.train();
  const others: OpenedDevice[] = [];
  using _others = { [Symbol.dispose]: () => others.map((other) => other[Symbol.dispose]()) };
  const recover = async (lost: DeviceLostError): Promise<{ model: CausalLM; generators: Generator[] }> => {
    output.notice(`The GPU was lost (${lost.reason}); training goes on from the last snapshot on another.`);
    const next = await openDevice(options.device, output.notice);
    others.push(next);
    model = await opened.load(next.device, { weights: weightsOf(opened, options) });
    const again = await prepare(model, options, adapter);
    model.train();
    return { model, generators: [again] };
  };
  const result = await runTraining(
    model,
    dataset,
    { ...options, generators: [generator], recover },
    steps,
    output,
    context,
    save,
    out,
  );
  await save();
  if (!result.interrupted) {
    await measure(result.steps);
    await demo?.sample(model, opened, "after", output);
  }
  const verb = result.interrupted ? "Stopped" : "Done";
  output.result(
    { event: "done", steps: result.steps, loss: result.loss, out },
    `${verb} after ${result.steps} steps with loss ${result.loss.toFixed(4)}. ${options.trained.kind === "full" ? "The model" : "The adapter"} is in ${out}.`,
  );
}

function sourceOf({ source }: FinetuneOptions): { model: string; data: string; out: string } {
  if (source.demo) throw new Error("internal: the demo brings its own source");
  return source;
}

async function readWith(
  opened: OpenedModel,
  options: FinetuneOptions,
  path: string,
  use: "train" | "eval",
  output: Output,
): Promise<Dataset> {
  const { sequenceLength } = options;
  const dataset = await readData(path, {
    sequenceLength,
    vocabSize: opened.vocabSize,
    tokenizer: () => opened.tokenizer(),
    use,
  });
  for (const notice of datasetNotices(basename(path), dataset, sequenceLength)) output.notice(notice);
  return dataset;
}

/** Packed weights are neither packed again nor trained. */
function checkPacked({ packed }: OpenedModel, { weights, trained }: FinetuneOptions): void {
  if (packed === undefined || weights === "floats") return;
  if (weights !== "stored")
    throw new GraftError(
      `finetune: --quantize ${weights.scheme} needs a model in floats, got one that is packed already (${packed}). Leave out --quantize, or take the unquantized model.`,
    );
  if (trained.kind === "full")
    throw new GraftError(
      `finetune: --full needs a model in floats, got a packed one (${packed}). Train an adapter, or add --quantize none to widen the weights.`,
    );
}

/** A GGUF file stays in its blocks below an adapter; where every parameter is trained, all are floats. */
function weightsOf({ kind }: OpenedModel, { weights, trained }: FinetuneOptions): FinetuneOptions["weights"] {
  return kind === "gguf" && trained.kind === "full" ? "floats" : weights;
}

/** Decides what is trained: a new adapter, one that exists, or every parameter. Returns what dropout draws from. */
async function prepare(
  model: CausalLM,
  { trained, seed, given }: FinetuneOptions,
  adapter: OpenedAdapter | undefined,
): Promise<Generator> {
  const generator = new Generator(seed);
  if (trained.kind === "full") model.unfreeze();
  else if (trained.kind === "new") {
    const { rank, alpha, dropout, target } = trained;
    // The model's type knows the default.
    const targetModules = target === "all-linear" ? target : given("target") ? [...target] : undefined;
    injectLora(
      model,
      { rank, alpha, dropout, targetModules, taskType: "CAUSAL_LM" },
      { generator, allowTied: true },
    );
  } else await adapter?.inject(model, { trainable: true, generator });
  return generator;
}

async function filesOf(
  model: CausalLM,
  opened: OpenedModel,
  { trained }: FinetuneOptions,
): Promise<Map<string, FileContent>> {
  if (trained.kind === "full") return modelFiles(model, opened, opened.baseDtype);
  return new Map(await saveAdapter(model, { baseModelNameOrPath: opened.path }));
}

async function runTraining(
  model: CausalLM,
  dataset: Dataset,
  options: FinetuneOptions & Pick<TrainerOptions, "generators" | "recover">,
  steps: number,
  output: Output,
  context: RunContext,
  save: () => Promise<void>,
  out: string,
): Promise<TrainingResult> {
  const { batchSize, accumulate, shuffle, seed } = options;
  const progress = new Progress(output.progress, steps);
  try {
    return await train(
      model,
      trainingBatches(dataset.examples, { batchSize, accumulate, shuffle, seed }),
      { ...options, steps, signal: context.handleInterrupt() },
      ({ seconds, ...report }) => {
        output.event({ event: "step", ...report });
        progress.update({
          step: report.step,
          steps,
          loss: report.loss,
          tokensPerSecond: report.tokensPerSecond,
          seconds,
        });
      },
    );
  } catch (error) {
    progress.finish();
    if (error instanceof DivergedError && error.updates !== undefined) {
      await save();
      const what = options.trained.kind === "full" ? "The model" : "The adapter";
      const when = error.updates === 0 ? "before step 1" : `after step ${error.updates}`;
      output.notice(`${what} as it was ${when}, the last with a finite loss, is in ${out}.`);
    }
    throw error;
  } finally {
    progress.finish();
  }
}
