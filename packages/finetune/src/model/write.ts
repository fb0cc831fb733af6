import { type CausalLM, modelTensors, type WeightDtype } from "@graft/nn";
import { safetensorsChunks } from "@graft/nn/checkpoint";
import type { FileContent } from "@graft/nn/node";
import { jsonText } from "./companions.ts";
import type { OpenedModel } from "./opened.ts";

/**
 * The files of a Hugging Face folder with the parameters of `model`: weights, configuration, tokenizer. The weights are
 * read from the device one by one while they are written. A head that is tied to the embedding is left out.
 */
export async function modelFiles(
  model: CausalLM,
  opened: OpenedModel,
  dtype: WeightDtype,
): Promise<Map<string, FileContent>> {
  const tensors = modelTensors(model, { dtype });
  const files = new Map(await opened.companionFiles());
  // Merging an adapter of the head unties it from the embedding.
  const untied = tensors.some(({ name }) => name === "lm_head.weight") ? { tie_word_embeddings: false } : {};
  files.set("config.json", jsonText({ ...opened.configJson(dtype), ...untied }));
  files.set("model.safetensors", safetensorsChunks(tensors, { format: "pt" }));
  return files;
}
