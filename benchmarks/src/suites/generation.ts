import { embeddedModel, generate, openModel } from "@graft/finetune";
import type { CausalLM } from "@graft/nn";
import type { Case, Suite } from "../harness.ts";
import { sharedModel } from "../paths.ts";
import { finishOf, gpuFirst } from "./training.ts";

const PROMPT = 128;
const NEW = 32;

/** Reading a prompt of 128 tokens and making 32 more, of the small model that comes with the command. */
export const generationSuite: Suite = suite("generation", () => embeddedModel, false);

/** The same of SmolLM2-135M in float32. */
export const generationSmollm2Suite: Suite = suite(
  "generationSmollm2",
  () => sharedModel("SmolLM2-135M-Instruct.Q4_1.gguf"),
  true,
);

function suite(name: string, path: () => string, large: boolean): Suite {
  return {
    name,
    large,
    async cases(devices) {
      const cases: Case[] = [];
      await using opened = await openModel(path());
      for (const device of gpuFirst(devices)) {
        const model = await opened.load(device, { weights: "floats" });
        const finish = (): Promise<void> => finishOf(device);
        const prefill = `read ${PROMPT} tokens on ${device.kind}`;
        const read = { name: prefill, group: "read", device, finish, tokens: PROMPT };
        cases.push({ ...read, run: () => write(model, 1) });
        const decode = { name: `write ${NEW} tokens on ${device.kind}`, group: "write", device, finish };
        cases.push({ ...decode, tokens: NEW, less: prefill, run: () => write(model, 1 + NEW) });
      }
      return cases;
    },
  };
}

/** The first new token comes of reading the prompt. */
async function write(model: CausalLM, maxNewTokens: number): Promise<void> {
  const prompt = Array.from({ length: PROMPT }, (_, i) => (i * 37 + 11) % model.config.vocabSize);
  await generate(model, prompt, { maxNewTokens, sampler: mostLikely, eosTokenIds: [] });
}

function mostLikely(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  return best;
}
