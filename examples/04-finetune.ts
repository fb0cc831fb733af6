// Teaches a language model one page of a novel with LoRA and writes the adapter in PEFT's format. Any Hugging Face
// folder or GGUF file of the Llama family will do; the default is the small model that comes with @graft/finetune.
// (`graft finetune` takes whole texts, with batches, schedules, evaluation and a way to stop.)
//
//   node examples/dist/04-finetune.js --steps 20 --device cpu
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { embeddedModel, openModel } from "@graft/finetune";
import { injectLora, saveAdapter } from "@graft/lora";
import { AdamW } from "@graft/nn";
import { writeFolderAtomic } from "@graft/nn/node";
import { crossEntropy, Generator, openCpu, scope, tensor } from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { type ExampleOptions, runAsProgram } from "./command.ts";

export interface FinetuneOptions extends ExampleOptions {
  /** Folder with config.json, *.safetensors and tokenizer.json, or a .gguf file. */
  readonly folder?: string;
  /** A plain text of 257 tokens or more. */
  readonly text?: string;
  /** Folder of the adapter, replaced if it exists. */
  readonly out?: string;
}

export async function main({ steps, device: kind, learningRate, log, ...paths }: FinetuneOptions) {
  const {
    folder = embeddedModel,
    text = join(embeddedModel, "demo/moby-dick.train.txt"),
    out = "runs/example-adapter",
  } = paths;
  const losses: number[] = [];

  const device = kind === "webgpu" ? await openWebGpu() : openCpu();
  await using opened = await openModel(folder);
  const ids = (await opened.tokenizer()).encode(await readFile(text, "utf8"));
  const model = await opened.load(device);

  // One page of four rows, the same in every step. Each position predicts the token after it.
  const rows = (from: number) => [0, 1, 2, 3].map((row) => ids.slice(from + 64 * row, from + 64 * row + 64));
  const inputs = tensor(device, rows(0), { dtype: "i32" });
  const targets = tensor(device, rows(1), { dtype: "i32" });
  const lora = { rank: 8, alpha: 16, targetModules: "all-linear", taskType: "CAUSAL_LM" } as const;
  log(injectLora(model, lora, { generator: new Generator(0) }).summary);
  const optimizer = new AdamW(model.namedParameters(), { learningRate });
  for (let step = 1; step <= steps; step++) {
    using loss = scope(() => {
      const mean = crossEntropy(model.forward(inputs), targets);
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
