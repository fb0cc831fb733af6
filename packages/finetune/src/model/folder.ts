import { readdir } from "node:fs/promises";
import { llamaConfigFromHf, loadFromHf, type WeightDtype } from "@graft/nn";
import { openCheckpoint, type SafetensorsFile } from "@graft/nn/checkpoint";
import { folderOpener } from "@graft/nn/node";
import { GraftError, quote } from "../errors.ts";
import { isObject, type JsonObject } from "../json.ts";
import { endsOfText, loadTokenizer, modelTemplate } from "../tokenizer/folder.ts";
import { folderCompanions } from "./companions.ts";
import { readJsonFile } from "./files.ts";
import { once } from "./once.ts";
import { type OpenedModel, type OpenModelOptions, torchName } from "./opened.ts";

/** Opens a Hugging Face folder: `config.json`, safetensors with or without index, `tokenizer.json`. */
export async function openModelFolder(path: string, options: OpenModelOptions): Promise<OpenedModel> {
  const json = await readJsonFile(path, "config.json");
  if (json === undefined) throw await noConfig(path);
  refuseQuantized(json);
  const config = llamaConfigFromHf(json);
  const weights = await openCheckpoint(folderOpener(path));
  const { tokenizer } = options;
  return {
    path,
    kind: "folder",
    config,
    vocabSize: config.vocabSize,
    baseDtype: mostOf(weights),
    load: (device, { onTensor } = {}) => loadFromHf(json, weights, { device, onTensor }),
    tokenizer: once(async () =>
      tokenizer === undefined
        ? loadTokenizer(path)
        : loadTokenizer(tokenizer, {
            eosTokenIds: await endsOfText(path),
            chatTemplate: await modelTemplate(path),
          }),
    ),
    companionFiles: () => folderCompanions(path, tokenizer),
    configJson: (dtype) => withDtype(json, dtype),
    close: () => weights.close(),
    [Symbol.asyncDispose]: () => weights.close(),
  };
}

async function noConfig(path: string): Promise<GraftError> {
  const names = await readdir(path);
  const shown = quote(path);
  if (names.includes("adapter_config.json")) {
    return new GraftError(
      `model: ${shown} must be a model, got an adapter. Give its base with --model, and this folder with --adapter.`,
    );
  }
  const gguf = names.find((name) => name.toLowerCase().endsWith(".gguf"));
  if (gguf !== undefined) {
    return new GraftError(
      `model: the folder ${shown} must hold config.json, got none. For the GGUF file in it, give the file itself: ${quote(gguf)}.`,
    );
  }
  return new GraftError(
    `model: the folder ${shown} must hold config.json and *.safetensors, got no config.json. Give a Hugging Face model folder or a .gguf file.`,
  );
}

/** The folders that transformers writes with bitsandbytes or another quantizer. */
function refuseQuantized(json: JsonObject): void {
  const quantization = json.quantization_config;
  if (quantization === undefined || quantization === null) return;
  const method =
    isObject(quantization) && typeof quantization.quant_method === "string"
      ? quote(quantization.quant_method)
      : "unnamed";
  throw new GraftError(
    `model: "config.json" must be of an unquantized model, got quantization_config (method ${method}). Reading quantized folders comes later; use the unquantized model.`,
  );
}

/** The dtype that holds most bytes. */
function mostOf(weights: SafetensorsFile): WeightDtype {
  const bytes = { f32: 0, f16: 0, bf16: 0 };
  for (const { dtype, begin, end } of weights.tensors.values()) {
    const own = dtype === "F16" ? "f16" : dtype === "BF16" ? "bf16" : "f32";
    bytes[own] += end - begin;
  }
  if (bytes.f32 >= bytes.f16 && bytes.f32 >= bytes.bf16) return "f32";
  return bytes.f16 >= bytes.bf16 ? "f16" : "bf16";
}

/** transformers 4 calls it torch_dtype, transformers 5 dtype; the folder's own spelling stays. */
function withDtype(json: JsonObject, dtype: WeightDtype): Record<string, unknown> {
  const name = torchName[dtype];
  const old = "torch_dtype" in json ? { torch_dtype: name } : {};
  return { ...json, ...old, ...("torch_dtype" in json && !("dtype" in json) ? {} : { dtype: name }) };
}
