import { basename } from "node:path";
import {
  type LlamaConfig,
  llamaConfigFromGguf,
  llamaConfigFromHf,
  llamaConfigToHf,
  llamaGgufWeights,
  loadFromGguf,
} from "@graft/nn";
import { openGguf } from "@graft/nn/checkpoint";
import { fileSource } from "@graft/nn/node";
import { loadQuantizedFromGguf } from "@graft/quant";
import { GraftError, quote } from "../errors.ts";
import { loadTokenizer } from "../tokenizer/folder.ts";
import { type GgufMetadata, ggufTokenizerFallback, tokenizerFromGguf } from "../tokenizer/gguf.ts";
import { ggufCompanions } from "./companions.ts";
import { once } from "./once.ts";
import { type OpenedModel, type OpenModelOptions, torchName } from "./opened.ts";

/** Opens a .gguf file, which carries configuration and tokenizer in its metadata. */
export async function openModelGguf(path: string, options: OpenModelOptions): Promise<OpenedModel> {
  const source = await fileSource(path);
  try {
    const file = await openGguf(source);
    const config = await llamaConfigFromGguf(file);
    const { metadata } = file;
    const where = quote(basename(path));
    const { tokenizer } = options;
    return {
      path,
      kind: "gguf",
      config,
      vocabSize: config.vocabSize,
      baseDtype: "f16",
      packed: undefined,
      weights: llamaGgufWeights(file, config),
      load(device, { onTensor, weights = "floats" } = {}) {
        if (weights === "floats") return loadFromGguf(file, { device, onTensor });
        if (weights === "stored") return loadQuantizedFromGguf(file, { device, onTensor });
        return loadQuantizedFromGguf(file, { device, onTensor, dtype: "f16", quantize: weights });
      },
      tokenizer: once(async () =>
        tokenizer === undefined
          ? tokenizerFromGguf(metadata, where)
          : loadTokenizer(tokenizer, ggufTokenizerFallback(metadata)),
      ),
      companionFiles: () => ggufCompanions(metadata, where, tokenizer),
      configJson(dtype) {
        const json = llamaConfigToHf(config, torchName[dtype], specialIds(metadata));
        checkSame(config, json, where);
        return json;
      },
      close: () => file.close(),
      [Symbol.asyncDispose]: () => file.close(),
    };
  } catch (error) {
    await source.close?.();
    throw error;
  }
}

function specialIds(metadata: GgufMetadata): Record<string, number> {
  const ids: Record<string, number> = {};
  for (const [name, key] of [
    ["bos_token_id", "bos_token_id"],
    ["eos_token_id", "eos_token_id"],
    ["pad_token_id", "padding_token_id"],
  ]) {
    const id = metadata.get(`tokenizer.ggml.${key}`);
    if (typeof id === "number") ids[name] = id;
  }
  return ids;
}

/** transformers must build the same model from the configuration that is written. */
function checkSame(config: LlamaConfig, json: Record<string, unknown>, where: string): void {
  const again = new Map(Object.entries(llamaConfigFromHf(json)));
  const changed = Object.entries(config).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(again.get(name)),
  );
  if (changed.length === 0) return;
  throw new GraftError(
    `model: ${where} must have a form that config.json can say, but it cannot say ${changed.map(([name]) => name).join(", ")} of this file. Use the model's Hugging Face folder instead.`,
  );
}
