import { basename } from "node:path";
import type { EvalOptions } from "../args/options.ts";
import { datasetNotices } from "../dataset/example.ts";
import { readData } from "../dataset/read.ts";
import { openDevice } from "../device.ts";
import { openAdapter } from "../model/adapter.ts";
import { openModel } from "../model/open.ts";
import type { Output } from "../output.ts";
import { evaluate } from "../train/evaluate.ts";

/** `graft eval`: loss and perplexity of a model on a file. */
export async function runEval(options: EvalOptions, output: Output): Promise<void> {
  await using opened = await openModel(options.model, { tokenizer: options.tokenizer });
  const adapter =
    options.adapter === undefined ? undefined : await openAdapter(options.adapter, output.notice);
  const { sequenceLength } = options;
  const data = await readData(options.data, {
    sequenceLength,
    vocabSize: opened.vocabSize,
    tokenizer: opened.tokenizer,
    use: "eval",
  });
  for (const line of datasetNotices(basename(options.data), data, sequenceLength)) output.notice(line);
  using device = await openDevice(options.device, output.notice);
  const model = await opened.load(device.device);
  await adapter?.inject(model);
  const result = await evaluate(model, data.examples);
  output.result(
    result,
    `loss ${result.loss.toFixed(6)}  perplexity ${result.perplexity.toFixed(4)}  (${result.tokens} tokens)`,
  );
}
