// Fine-tunes a language model with LoRA and writes the adapter in PEFT's format. Any Hugging Face folder of the Llama
// family will do; the default is the small model that comes with @graft/finetune, and chapters of Moby Dick.
// (`graft finetune` does the same with more care: batches, schedules, evaluation, interrupts.)
//
//   node examples/dist/04-finetune.js --steps 20 --device cpu
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { loadTokenizer } from "@graft/finetune";
import { injectLora, saveAdapter } from "@graft/lora";
import { AdamW, loadFromHf } from "@graft/nn";
import { openCheckpoint } from "@graft/nn/checkpoint";
import { folderOpener, writeFolderAtomic } from "@graft/nn/node";
import { crossEntropy, Generator, openCpu, scope, tensor } from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { type ExampleOptions, runAsProgram } from "./command.ts";

const embedded = join(createRequire(import.meta.url).resolve("@graft/finetune"), "../../embedded");

export interface FinetuneOptions extends ExampleOptions {
  /** Folder with config.json, model.safetensors and tokenizer.json. */
  readonly folder?: string;
  /** A plain text. */
  readonly text?: string;
  /** Folder of the adapter, replaced if it exists. */
  readonly out?: string;
}

export async function main({ steps, device: kind, learningRate, log, ...paths }: FinetuneOptions) {
  const {
    folder = embedded,
    text = join(embedded, "demo/moby-dick.train.txt"),
    out = "runs/example-adapter",
  } = paths;
  const losses: number[] = [];

  const device = kind === "webgpu" ? await openWebGpu() : openCpu();
  const ids = (await loadTokenizer(folder)).encode(await readFile(text, "utf8"));
  const config: unknown = JSON.parse(await readFile(join(folder, "config.json"), "utf8"));
  const weights = await openCheckpoint(folderOpener(folder));
  const model = await loadFromHf(config, weights, { device });
  await weights.close();

  const lora = { rank: 8, alpha: 16, targetModules: "all-linear", taskType: "CAUSAL_LM" } as const;
  log(injectLora(model, lora, { generator: new Generator(0) }).summary);
  const optimizer = new AdamW(model.namedParameters(), { learningRate });
  for (let step = 1; step <= steps; step++) {
    const at = ((step - 1) * 128) % (ids.length - 129);
    using loss = scope(() => {
      const logits = model.forward(tensor(device, [ids.slice(at, at + 128)], { dtype: "i32" }));
      const mean = crossEntropy(logits, tensor(device, [ids.slice(at + 1, at + 129)], { dtype: "i32" }));
      mean.backward();
      return mean.detach();
    });
    optimizer.step();
    optimizer.zeroGrad();
    losses.push(await loss.item());
    log(`step ${step}: loss ${losses[step - 1].toFixed(4)}`);
  }

  await writeFolderAtomic(out, await saveAdapter(model, { baseModelNameOrPath: folder }), { force: true });
  device.close();
  log(`The adapter is in ${out}.`);
  return { losses, out };
}

await runAsProgram(import.meta.url, main, { steps: 20, learningRate: 2e-3 });
