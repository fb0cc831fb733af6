import { readdir } from "node:fs/promises";
import { loadCausalLM, modelConfigFromHf, type WeightDtype } from "@graft/nn";
import { openCheckpoint, type SafetensorsFile } from "@graft/nn/checkpoint";
import { folderOpener } from "@graft/nn/node";
import {
  loadQuantizedFromHf,
  openPackedFile,
  type PackedFile,
  type QuantizationConfig,
  readQuantizationConfig,
  withoutQuantization,
} from "@graft/quant";
import { GraftError, quote } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { endsOfText, loadTokenizer, modelTemplate } from "../tokenizer/folder.ts";
import { folderCompanions } from "./companions.ts";
import { readJsonFile } from "./files.ts";
import { once } from "./once.ts";
import { type OpenedModel, type OpenModelOptions, torchName } from "./opened.ts";

/** Opens a Hugging Face folder: `config.json`, safetensors with or without index, `tokenizer.json`. */
export async function openModelFolder(path: string, options: OpenModelOptions): Promise<OpenedModel> {
  const json = await readJsonFile(path, "config.json");
  if (json === undefined) throw await noConfig(path);
  const quantization = readQuantizationConfig(json);
  const config = modelConfigFromHf(withoutQuantization(json));
  const file = await openCheckpoint(folderOpener(path));
  const packed = await packedOf(file, quantization);
  const { tokenizer } = options;
  const baseDtype = (quantization && configDtype(json)) ?? mostOf(packed);
  return {
    path,
    kind: "folder",
    config,
    vocabSize: config.vocabSize,
    baseDtype,
    packed: quantization?.scheme,
    weights: packed.weights,
    async load(device, { onTensor, weights = "stored" } = {}) {
      // In floats the model is f32 as a whole.
      if (weights === "floats" || (weights === "stored" && quantization === undefined))
        return loadCausalLM(config, packed.weights, { device, onTensor });
      const quantize = weights === "stored" ? undefined : weights;
      return loadQuantizedFromHf(json, file, { device, onTensor, dtype: mostOf(packed), quantize });
    },
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
    close: () => file.close(),
    [Symbol.asyncDispose]: () => file.close(),
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

async function packedOf(
  file: SafetensorsFile,
  quantization: QuantizationConfig | undefined,
): Promise<PackedFile> {
  try {
    return await openPackedFile(file, quantization);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The dtype that a configuration names, where it is one in which weights are written. */
function configDtype(json: JsonObject): WeightDtype | undefined {
  const name = json.dtype ?? json.torch_dtype;
  return dtypes.find((dtype) => torchName[dtype] === name);
}

const dtypes: readonly WeightDtype[] = ["f32", "f16", "bf16"];

/** The dtype that holds most bytes of what is not packed. */
function mostOf({ others }: PackedFile): WeightDtype {
  const bytes = { f32: 0, f16: 0, bf16: 0 };
  for (const { dtype, begin, end } of others.values()) {
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
  const { quantization_config: _, ...rest } = json;
  return { ...rest, ...old, ...("torch_dtype" in json && !("dtype" in json) ? {} : { dtype: name }) };
}
