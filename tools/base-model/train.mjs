// Trains the embedded base model from scratch with Graft itself, on one process of the CPU device, and writes
// packages/finetune/embedded/{config.json,generation_config.json,model.safetensors}.
//   node tools/base-model/train.mjs --steps 3000 [--batch 4] [--length 256] [--learning-rate 1.2e-3] [--out FOLDER]
// About 42 minutes on one core for 3,000 steps. Build the packages first (npm run setup).
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { makeBatch } from "../../packages/finetune/dist/dataset/batching.js";
import { loadTokenizer } from "../../packages/finetune/dist/index.js";
import { createRandom } from "../../packages/finetune/dist/random.js";
import { tokenLosses } from "../../packages/finetune/dist/train/loss.js";
import { train } from "../../packages/finetune/dist/train/trainer.js";
import { safetensorsChunks } from "../../packages/nn/dist/checkpoint/index.js";
import { LlamaForCausalLM, llamaConfigFromHf, modelTensors } from "../../packages/nn/dist/index.js";
import { Generator, noGrad, openCpu, scope } from "../../packages/tensor/dist/index.js";
import { baseCorpus, embeddedFolder } from "./corpus.mjs";

const { values: flags } = parseArgs({
  options: {
    steps: { type: "string", default: "3000" },
    batch: { type: "string", default: "4" },
    length: { type: "string", default: "256" },
    "learning-rate": { type: "string", default: "1.2e-3" },
    seed: { type: "string", default: "0" },
    out: { type: "string", default: embeddedFolder },
    "save-every": { type: "string", default: "500" },
  },
});
const steps = Number(flags.steps);
const batchSize = Number(flags.batch);
const length = Number(flags.length);
const seed = Number(flags.seed);

/** 1.8 million parameters: with the tokenizer and the demo text the folder stays below 5 MB in bf16. */
const config = {
  architectures: ["LlamaForCausalLM"],
  attention_bias: false,
  bos_token_id: 0,
  dtype: "bfloat16",
  eos_token_id: 0,
  head_dim: 32,
  hidden_act: "silu",
  hidden_size: 192,
  initializer_range: 0.02,
  intermediate_size: 448,
  max_position_embeddings: 512,
  mlp_bias: false,
  model_type: "llama",
  num_attention_heads: 6,
  num_hidden_layers: 4,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-5,
  rope_parameters: { rope_theta: 10000.0, rope_type: "default" },
  tie_word_embeddings: true,
  vocab_size: 2048,
};

const tokenizer = await loadTokenizer(embeddedFolder);
const { train: trainDocuments, heldOut } = baseCorpus();
const trainTokens = tokensOf(trainDocuments);
const evalTokens = tokensOf(heldOut);
console.log(`${trainTokens.length} tokens to train on, ${evalTokens.length} held out`);

const device = openCpu();
const model = new LlamaForCausalLM(llamaConfigFromHf(config), { device, generator: new Generator(seed) });
console.log(`${model.parameterCount().total} parameters`);

let evaluated = "";
const result = await train(
  model,
  windows(),
  {
    steps,
    learningRate: Number(flags["learning-rate"]),
    schedule: "cosine",
    warmupSteps: Math.min(100, Math.ceil(steps / 10)),
    weightDecay: 0.1,
    maxGradNorm: 1,
  },
  async ({ step, loss, tokensPerSecond, seconds }) => {
    if (step % 20 === 0)
      console.log(
        `step ${step}/${steps} loss ${loss.toFixed(4)} ${tokensPerSecond.toFixed(0)} tokens/s ${(seconds / 60).toFixed(1)} min`,
      );
    if (step % Number(flags["save-every"]) === 0 || step === steps) {
      evaluated = `held-out loss ${(await evaluate()).toFixed(4)} at step ${step}`;
      console.log(evaluated);
      await save();
    }
  },
);
console.log(`done: ${result.steps} steps, ${evaluated}`);

function tokensOf(documents) {
  return Int32Array.from(documents.flatMap(({ text }) => [...tokenizer.encode(text), 0]));
}

/** Endless steps of windows that start anywhere. */
function* windows() {
  const random = createRandom(seed, 1);
  for (;;) {
    const examples = Array.from({ length: batchSize }, () => {
      const start = Math.floor(random() * (trainTokens.length - length));
      const inputIds = [...trainTokens.subarray(start, start + length)];
      return { inputIds, labels: inputIds };
    });
    const batch = makeBatch(examples);
    yield { batches: [batch], targets: batch.targets };
  }
}

/** Mean loss over the first 64 windows of the held-out speeches. */
async function evaluate() {
  let sum = 0;
  let count = 0;
  for (let i = 0; i < 64; i += 4) {
    const examples = [0, 1, 2, 3].map((k) => {
      const inputIds = [...evalTokens.subarray((i + k) * length, (i + k + 1) * length)];
      return { inputIds, labels: inputIds };
    });
    const losses = noGrad(() => scope(() => tokenLosses(model, makeBatch(examples))));
    for (const loss of await losses.toArray()) {
      sum += loss;
      count++;
    }
    losses.dispose();
  }
  return sum / count;
}

/** Writes the Hugging Face folder beside the tokenizer. */
async function save() {
  const chunks = [];
  for await (const chunk of safetensorsChunks(modelTensors(model, { dtype: "bf16" }), { format: "pt" }))
    chunks.push(chunk);
  mkdirSync(flags.out, { recursive: true });
  writeFileSync(join(flags.out, "model.safetensors"), Buffer.concat(chunks));
  writeFileSync(join(flags.out, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
  writeFileSync(
    join(flags.out, "generation_config.json"),
    `${JSON.stringify({ bos_token_id: 0, eos_token_id: 0 }, null, 2)}\n`,
  );
}
