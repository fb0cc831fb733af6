// The tokenizer that a GGUF file carries in its metadata, as the tokenizer.json that the model had before it was converted.
import { GraftError } from "../errors.ts";
import { isObject, type JsonObject, kindOf } from "../json.ts";
import { byteLevel, GPT2_PATTERN, splitIsolated } from "./preTokenizer.ts";
import { createTokenizer, type Tokenizer, type TokenizerSetup } from "./tokenizer.ts";

/** What differs between the families that `tokenizer.ggml.pre` names. Patterns as in llama.cpp's llama-vocab.cpp. */
interface Pre {
  /** Patterns that cut the text one after the other. */
  readonly patterns: readonly string[];
  readonly normalizer?: JsonObject;
  /** A word that is a token needs no merges. */
  readonly ignoreMerges?: boolean;
  /** Whether the first token is put in front where the file does not say. */
  readonly addBos?: boolean;
}

const CONTRACTIONS = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const AFTER_NUMBERS = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const pres: ReadonlyMap<string, Pre> = new Map<string, Pre>([
  ["smollm", { patterns: ["\\p{N}", GPT2_PATTERN] }],
  ["gpt-2", { patterns: [GPT2_PATTERN] }],
  [
    "qwen2",
    {
      patterns: [`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${AFTER_NUMBERS}`],
      normalizer: { type: "NFC" },
    },
  ],
  [
    "llama-bpe",
    {
      patterns: [`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|${AFTER_NUMBERS}`],
      ignoreMerges: true,
      addBos: true,
    },
  ],
  ["default", { patterns: ["[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2_PATTERN, "\\p{N}+", "[0-9][0-9][0-9]"] }],
]);

/** How text is cut into words for a name in `tokenizer.ggml.pre`, as in a tokenizer.json; undefined for a name that is not read. */
export function ggufPreTokenizer(name: string): JsonObject | undefined {
  const pre = pres.get(name);
  return pre === undefined ? undefined : preTokenizerOf(pre);
}

function preTokenizerOf(pre: Pre): JsonObject {
  return { type: "Sequence", pretokenizers: [...pre.patterns.map(splitIsolated), byteLevel] };
}

/** Kinds of token in `tokenizer.ggml.token_type`; 1 is a normal one. */
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;

/** The keys of a GGUF file with their values. */
export type GgufMetadata = ReadonlyMap<string, unknown>;

/**
 * The tokenizer of a GGUF file.
 * @param where - name of the file, for messages
 * @throws GraftError for a kind of tokenizer that is not read, by name, and for metadata that is not a tokenizer
 */
export function tokenizerFromGguf(metadata: GgufMetadata, where: string): Tokenizer {
  return createTokenizer(ggufTokenizerSetup(metadata, where));
}

/** The same as contents of a `tokenizer.json` and what stands beside it. Throws as `tokenizerFromGguf`. */
export function ggufTokenizerSetup(metadata: GgufMetadata, where: string): TokenizerSetup {
  const kind = metadata.get("tokenizer.ggml.model");
  const known = [...pres.keys()].join(", ");
  if (kind !== "gpt2") {
    throw new GraftError(
      `tokenizer of ${where}: "tokenizer.ggml.model" must be gpt2 (byte-level BPE), got ${shown(kind)}. Give the model's own file with --tokenizer tokenizer.json.`,
    );
  }
  const preName = metadata.get("tokenizer.ggml.pre") ?? "default";
  const pre = typeof preName === "string" ? pres.get(preName) : undefined;
  if (pre === undefined) {
    throw new GraftError(
      `tokenizer of ${where}: "tokenizer.ggml.pre" must be one of ${known}, got ${shown(preName)}. Give the model's own file with --tokenizer tokenizer.json.`,
    );
  }
  const tokens = strings(metadata, "tokenizer.ggml.tokens", where);
  const merges = strings(metadata, "tokenizer.ggml.merges", where);
  const types = listOf(metadata.get("tokenizer.ggml.token_type"));
  if (types !== undefined && types.length !== tokens.length) {
    throw new GraftError(
      `tokenizer of ${where}: "tokenizer.ggml.token_type" must have one entry per token (${tokens.length}), got ${types.length}. The file is damaged; download it again.`,
    );
  }

  const vocab: Record<string, number> = Object.create(null);
  const added: JsonObject[] = [];
  tokens.forEach((content, id) => {
    if (content in vocab) {
      throw new GraftError(
        `tokenizer of ${where}: every token must be there once, got ${JSON.stringify(content)} at ${vocab[content]} and ${id}. The file is damaged; download it again.`,
      );
    }
    vocab[content] = id;
    const type = Number(types?.[id] ?? 1);
    if (content !== "" && (type === UNKNOWN || type === CONTROL || type === USER_DEFINED)) {
      added.push({
        id,
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: type !== USER_DEFINED,
      });
    }
  });

  const config: Record<string, unknown> = {};
  for (const [role, key] of [
    ["bos_token", "bos_token_id"],
    ["eos_token", "eos_token_id"],
    ["unk_token", "unknown_token_id"],
    ["pad_token", "padding_token_id"],
  ]) {
    const id = tokenId(metadata, key, tokens.length, where);
    if (id !== undefined) config[role] = tokens[id];
  }
  const addBos = metadata.get("tokenizer.ggml.add_bos_token") ?? pre.addBos ?? false;
  if (addBos === true) config.add_bos_token = true;
  const ends = ["eos_token_id", "eot_token_id", "eom_token_id"].map((key) =>
    tokenId(metadata, key, tokens.length, where),
  );
  const template = metadata.get("tokenizer.chat_template");
  return {
    where: `of ${where}`,
    json: {
      version: "1.0",
      added_tokens: added,
      normalizer: pre.normalizer ?? null,
      pre_tokenizer: preTokenizerOf(pre),
      post_processor: null,
      decoder: { ...byteLevel, use_regex: true },
      model: {
        type: "BPE",
        vocab: { ...vocab },
        merges: merges.map((merge) => splitMerge(merge, where)),
        ignore_merges: pre.ignoreMerges ?? false,
      },
    },
    config,
    eosTokenIds: ends.filter((id) => id !== undefined),
    chatTemplate: typeof template === "string" ? template : undefined,
  };
}

/** Ends of text and chat template of a GGUF file, for a tokenizer that replaces its own. */
export function ggufTokenizerFallback(metadata: GgufMetadata): {
  eosTokenIds: number[];
  chatTemplate?: string;
} {
  const template = metadata.get("tokenizer.chat_template");
  const ids = ["eos_token_id", "eot_token_id"].map((key) =>
    Number(metadata.get(`tokenizer.ggml.${key}`) ?? Number.NaN),
  );
  return {
    eosTokenIds: ids.filter((id) => Number.isSafeInteger(id) && id >= 0),
    chatTemplate: typeof template === "string" ? template : undefined,
  };
}

function splitMerge(merge: string, where: string): [string, string] {
  const space = merge.indexOf(" ", 1);
  if (space < 0)
    throw new GraftError(
      `tokenizer of ${where}: a merge must be two tokens with a space between, got ${JSON.stringify(merge)}. The file is damaged; download it again.`,
    );
  return [merge.slice(0, space), merge.slice(space + 1)];
}

/** The values of a metadata array: a plain list, a typed one, or a list wrapped with its type. */
function listOf(value: unknown): ArrayLike<unknown> | undefined {
  if (Array.isArray(value)) return value;
  if (ArrayBuffer.isView(value) && !(value instanceof DataView))
    return value as unknown as ArrayLike<unknown>; // every other view is a typed array
  return isObject(value) && Array.isArray(value.values) ? value.values : undefined;
}

function strings(metadata: GgufMetadata, key: string, where: string): string[] {
  const list = listOf(metadata.get(key));
  if (list === undefined || list.length === 0) {
    throw new GraftError(
      `tokenizer of ${where}: "${key}" must be a list of texts, got ${kindOf(metadata.get(key))}. Give the model's own file with --tokenizer tokenizer.json.`,
    );
  }
  return Array.from(list, (entry, index) => {
    if (typeof entry !== "string")
      throw new GraftError(
        `tokenizer of ${where}: entry ${index} of "${key}" must be a text, got ${kindOf(entry)}. The file is damaged; download it again.`,
      );
    return entry;
  });
}

function tokenId(metadata: GgufMetadata, key: string, count: number, where: string): number | undefined {
  const value = metadata.get(`tokenizer.ggml.${key}`);
  if (value === undefined) return undefined;
  const id = typeof value === "bigint" ? Number(value) : value;
  if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0 || id >= count) {
    throw new GraftError(
      `tokenizer of ${where}: "tokenizer.ggml.${key}" must be one of its ${count} tokens, got ${shown(value)}. The file is damaged; download it again.`,
    );
  }
  return id;
}

function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : kindOf(value);
}
