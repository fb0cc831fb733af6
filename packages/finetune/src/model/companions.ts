import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { FileContent } from "@graft/nn/node";
import { type GgufMetadata, ggufTokenizerSetup } from "../tokenizer/gguf.ts";
import type { TokenizerSetup } from "../tokenizer/tokenizer.ts";
import { readSmallFile } from "./files.ts";

const tokenizerFiles = [
  "tokenizer.json",
  "tokenizer_config.json",
  "tokenizer.model",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "chat_template.jinja",
  "chat_template.json",
];

/** What stands beside the weights of a Hugging Face folder; a replaced tokenizer brings the files beside it. */
export async function folderCompanions(
  folder: string,
  tokenizer: string | undefined,
): Promise<Map<string, FileContent>> {
  const files = new Map<string, FileContent>();
  for (const name of [...tokenizerFiles, "generation_config.json"]) {
    const bytes = await readSmallFile(folder, name);
    if (bytes !== undefined) files.set(name, bytes);
  }
  if (tokenizer === undefined) return files;
  // Vocabularies of the old tokenizer would contradict the new one.
  for (const name of ["tokenizer.model", "added_tokens.json", "vocab.json", "merges.txt"]) files.delete(name);
  return replaceTokenizer(files, tokenizer);
}

/** The same for a GGUF file, made from its metadata. */
export async function ggufCompanions(
  metadata: GgufMetadata,
  where: string,
  tokenizer: string | undefined,
): Promise<Map<string, FileContent>> {
  if (tokenizer !== undefined) {
    const template = metadata.get("tokenizer.chat_template");
    const files = new Map<string, FileContent>();
    if (typeof template === "string") files.set("chat_template.jinja", template);
    return replaceTokenizer(files, tokenizer);
  }
  const setup = ggufTokenizerSetup(metadata, where);
  const { chatTemplate, config } = setup;
  return new Map<string, FileContent>([
    ["tokenizer.json", jsonText(setup.json)],
    [
      "tokenizer_config.json",
      jsonText({
        tokenizer_class: "PreTrainedTokenizerFast",
        clean_up_tokenization_spaces: false,
        ...config,
        ...(chatTemplate === undefined ? {} : { chat_template: chatTemplate }),
      }),
    ],
    ["generation_config.json", jsonText(generationConfig(setup, metadata))],
  ]);
}

function generationConfig(setup: TokenizerSetup, metadata: GgufMetadata): object {
  const ids = setup.eosTokenIds ?? [];
  const bos = metadata.get("tokenizer.ggml.bos_token_id");
  return {
    ...(typeof bos === "number" ? { bos_token_id: bos } : {}),
    ...(ids.length === 0 ? {} : { eos_token_id: ids.length === 1 ? ids[0] : ids }),
  };
}

async function replaceTokenizer(
  files: Map<string, FileContent>,
  tokenizer: string,
): Promise<Map<string, FileContent>> {
  for (const name of tokenizerFiles) {
    const path = join(dirname(tokenizer), name);
    const bytes = await readFile(path).catch(() => undefined);
    if (bytes !== undefined) files.set(name, bytes);
  }
  if (basename(tokenizer) !== "tokenizer.json") files.set("tokenizer.json", await readFile(tokenizer));
  return files;
}

export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
