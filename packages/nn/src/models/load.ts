import type { GgufFile } from "../checkpoint/gguf.ts";
import type { SafetensorsFile } from "../checkpoint/safetensors.ts";
import { type LlamaConfig, llamaConfigFromHf, llamaShapes } from "./config.ts";
import { LlamaForCausalLM, type LlamaOptions } from "./llama.ts";
import { llamaConfigFromGguf, llamaGgufWeights } from "./llamaGguf.ts";
import { checkWeights, fillWeights, safetensorsWeights, type WeightSource } from "./weights.ts";

export interface LoadOptions extends Omit<LlamaOptions, "generator"> {
  /** Called after each tensor. */
  readonly onTensor?: (done: number, total: number) => void;
}

/**
 * A causal language model from the parsed `config.json` and the safetensors of a Hugging Face folder.
 * Names, shapes and the configuration are checked before memory is taken.
 */
export async function loadFromHf(
  configJson: unknown,
  file: SafetensorsFile,
  options: LoadOptions,
): Promise<LlamaForCausalLM> {
  return load(llamaConfigFromHf(configJson), safetensorsWeights(file), options);
}

/** A causal language model from a GGUF file; weights are widened to the dtype of the options. */
export async function loadFromGguf(file: GgufFile, options: LoadOptions): Promise<LlamaForCausalLM> {
  const config = await llamaConfigFromGguf(file);
  return load(config, llamaGgufWeights(file, config), options);
}

async function load(
  config: LlamaConfig,
  source: WeightSource,
  { onTensor, ...options }: LoadOptions,
): Promise<LlamaForCausalLM> {
  // Tied checkpoints may repeat the head, and old ones hold the rotary frequencies.
  checkWeights(
    source,
    llamaShapes(config),
    (name) =>
      name.endsWith(".rotary_emb.inv_freq") || (config.tieWordEmbeddings && name === "lm_head.weight"),
  );
  const model = new LlamaForCausalLM(config, options);
  try {
    model.eval();
    await fillWeights(model, source, onTensor);
  } catch (error) {
    model.dispose();
    throw error;
  }
  return model;
}
