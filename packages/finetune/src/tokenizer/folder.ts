import { readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { GraftError } from "../errors.ts";
import { isObject, type JsonObject, kindOf } from "../json.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";

/** Ends of text and a chat template from elsewhere, for example from a GGUF file whose tokenizer is replaced. */
export interface TokenizerFallback {
  readonly eosTokenIds?: readonly number[];
  readonly chatTemplate?: string;
}

/**
 * The tokenizer of a Hugging Face folder: `tokenizer.json` with what `tokenizer_config.json`, `special_tokens_map.json`,
 * `chat_template.jinja`, `generation_config.json` and `config.json` add.
 * @param path - the folder, or a `tokenizer.json` (any name) whose folder may hold the others
 * @throws GraftError where there is none or a file is broken
 */
export async function loadTokenizer(path: string, fallback: TokenizerFallback = {}): Promise<Tokenizer> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  const folder = isFolder ? path : dirname(path);
  const file = isFolder ? join(path, "tokenizer.json") : path;
  const json = await readJson(file);
  if (json === undefined) {
    const other = isFolder
      ? " Only the fast form (tokenizer.json) is read; save it with AutoTokenizer.save_pretrained, or give --tokenizer FILE."
      : " Check the path.";
    throw new GraftError(
      `tokenizer ${JSON.stringify(path)}: ${isFolder ? "the folder must hold tokenizer.json" : "there must be a file of that name"}, got none.${other}`,
    );
  }
  const config = {
    ...(await readConfig(folder, "special_tokens_map.json")),
    ...(await readConfig(folder, "tokenizer_config.json")),
  };
  return createTokenizer({
    where: JSON.stringify(basename(file)),
    json,
    config,
    eosTokenIds: [...(await endsOfText(folder)), ...(fallback.eosTokenIds ?? [])],
    chatTemplate:
      (await readText(join(folder, "chat_template.jinja"))) ??
      templateOf(config.chat_template) ??
      fallback.chatTemplate,
  });
}

/** Every token that the configurations of a model folder name as an end of text. */
export async function endsOfText(folder: string): Promise<number[]> {
  return [
    ...endsOf(await readConfig(folder, "generation_config.json")),
    ...endsOf(await readConfig(folder, "config.json")),
  ];
}

/** The chat template of a model folder, wherever it stands. */
export async function modelTemplate(folder: string): Promise<string | undefined> {
  return (
    (await readText(join(folder, "chat_template.jinja"))) ??
    templateOf((await readConfig(folder, "tokenizer_config.json")).chat_template)
  );
}

/** `eos_token_id` is a number or a list of numbers. */
function endsOf(config: JsonObject): number[] {
  const ids: unknown[] = Array.isArray(config.eos_token_id) ? config.eos_token_id : [config.eos_token_id];
  return ids.filter((id): id is number => typeof id === "number" && Number.isSafeInteger(id) && id >= 0);
}

/** The template itself, or the one named `default` of a list of `{ name, template }`. */
function templateOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return undefined;
  const found: unknown = value.find((entry: unknown) => isObject(entry) && entry.name === "default");
  return isObject(found) && typeof found.template === "string" ? found.template : undefined;
}

async function readConfig(folder: string, name: string): Promise<JsonObject> {
  const value = await readJson(join(folder, name));
  if (value === undefined) return {};
  if (!isObject(value))
    throw new GraftError(
      `tokenizer: ${JSON.stringify(name)} must hold an object, got ${kindOf(value)}. Copy it again from where the model came from.`,
    );
  return value;
}

/** The value of a JSON file; undefined where there is no such file. */
async function readJson(file: string): Promise<unknown> {
  const text = await readText(file);
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new GraftError(
      `tokenizer: ${JSON.stringify(basename(file))} must be JSON, got text that is not (${reason}). Copy it again from where the model came from.`,
      { cause: error },
    );
  }
}

async function readText(file: string): Promise<string | undefined> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR"))
      return undefined;
    throw error;
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new GraftError(
      `tokenizer: ${JSON.stringify(basename(file))} must be UTF-8 text, got other bytes. Copy it again from where the model came from.`,
      { cause: error },
    );
  }
}
