// Makes a tokenizer.json ready for @huggingface/tokenizers: checks what that library takes on trust, adds the special tokens
// that stand in tokenizer_config.json only (as transformers does), and rewrites the pre-tokenizers where JavaScript's \d and \s
// mean other characters than Rust's.
import { GraftError } from "../errors.ts";
import { isObject, type JsonObject, kindOf } from "../json.ts";
import { rustPreTokenizer } from "./preTokenizer.ts";

export interface PreparedTokenizer {
  readonly json: JsonObject;
  readonly specialTokens: Readonly<Record<string, string>>;
  readonly vocabSize: number;
  readonly byteLevel: boolean;
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly [key: string]: unknown;
}

/** No vocabulary comes near this; it keeps a damaged file from asking for all memory. */
const LARGEST_ID = 2 ** 24;

/** @throws GraftError naming the first part of the file that is not as it must be */
export function prepareTokenizerJson(where: string, json: unknown, config: JsonObject): PreparedTokenizer {
  const wrong = (what: string, got: string) =>
    new GraftError(
      `tokenizer ${where}: ${what}, got ${got}. Copy tokenizer.json again from where the model came from.`,
    );
  if (!isObject(json)) throw wrong("the file must hold an object", kindOf(json));
  const { model } = json;
  if (!isObject(model)) throw wrong('"model" must be an object', kindOf(model));
  const vocab = readVocab(model, wrong);
  if (model.type === "BPE" || (model.type === undefined && model.merges !== undefined))
    checkMerges(model, wrong);

  const added = readAdded(json.added_tokens, wrong);
  const known = new Set(added.map((token) => token.content));
  const add = (id: number, content: string, fields: JsonObject) => {
    if (known.has(content)) return;
    known.add(content);
    added.push({
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
      ...fields,
      id,
      content,
    });
  };
  if (isObject(config.added_tokens_decoder)) {
    for (const [key, fields] of Object.entries(config.added_tokens_decoder)) {
      if (isObject(fields) && typeof fields.content === "string" && /^\d+$/.test(key))
        add(Number(key), fields.content, fields);
    }
  }
  const specialTokens = readSpecialTokens(config);
  for (const content of Object.values(specialTokens)) {
    const id = vocab.get(content);
    if (id !== undefined) add(id, content, {});
  }
  let largest = -1;
  for (const id of vocab.values()) largest = Math.max(largest, id);
  for (const { id } of added) largest = Math.max(largest, id);
  if (largest >= LARGEST_ID) throw wrong(`token ids must stay below ${LARGEST_ID}`, String(largest));

  const preTokenizer = rustPreTokenizer(json.pre_tokenizer);
  let postProcessor = json.post_processor ?? null;
  if (postProcessor === null && config.add_bos_token === true && specialTokens.bos_token !== undefined)
    postProcessor = bosInFront(specialTokens.bos_token);
  return {
    json: {
      normalizer: null,
      decoder: null,
      ...json,
      added_tokens: added,
      pre_tokenizer: preTokenizer,
      post_processor: postProcessor,
    },
    specialTokens,
    vocabSize: largest + 1,
    byteLevel: isByteLevel(json.decoder),
  };
}

type Wrong = (what: string, got: string) => GraftError;

/** Token to id for every kind of model; Unigram's vocabulary is a list of [token, score]. */
function readVocab(model: JsonObject, wrong: Wrong): Map<string, number> {
  const { vocab } = model;
  const ids = new Map<string, number>();
  if (Array.isArray(vocab)) {
    vocab.forEach((entry: unknown, id) => {
      if (!Array.isArray(entry) || typeof entry[0] !== "string")
        throw wrong(`"model.vocab" must hold pairs of token and score`, `${kindOf(entry)} at ${id}`);
      ids.set(entry[0], id);
    });
  } else if (isObject(vocab)) {
    for (const [token, id] of Object.entries(vocab)) {
      if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0)
        throw wrong(`the id of token ${JSON.stringify(token)} must be a whole number from 0`, kindOf(id));
      ids.set(token, id);
    }
  } else throw wrong('"model.vocab" must be an object', kindOf(vocab));
  if (ids.size === 0) throw wrong('"model.vocab" must hold tokens', "an empty one");
  return ids;
}

function checkMerges(model: JsonObject, wrong: Wrong): void {
  const { merges } = model;
  if (!Array.isArray(merges)) throw wrong('"model.merges" must be a list', kindOf(merges));
  const bad = merges.findIndex(
    (merge: unknown) =>
      !(typeof merge === "string"
        ? merge.indexOf(" ") > 0
        : Array.isArray(merge) &&
          merge.length === 2 &&
          typeof merge[0] === "string" &&
          typeof merge[1] === "string"),
  );
  if (bad >= 0) throw wrong(`merge ${bad} must be two tokens`, kindOf(merges[bad]));
}

function readAdded(list: unknown, wrong: Wrong): AddedToken[] {
  if (list === undefined || list === null) return [];
  if (!Array.isArray(list)) throw wrong('"added_tokens" must be a list', kindOf(list));
  return list.map((token: unknown, index) => {
    if (!isObject(token)) throw wrong(`added token ${index} must be an object`, kindOf(token));
    const { id, content } = token;
    if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0)
      throw wrong(`the id of added token ${index} must be a whole number from 0`, kindOf(id));
    if (typeof content !== "string" || content === "")
      throw wrong(`the content of added token ${index} must be a text`, kindOf(content));
    return { ...token, id, content };
  });
}

function readSpecialTokens(config: JsonObject): Record<string, string> {
  const found: Record<string, string> = {};
  for (const role of [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
  ]) {
    const text = tokenText(config[role]);
    if (text !== undefined) found[role] = text;
  }
  return found;
}

function bosInFront(token: string): JsonObject {
  return {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: token, type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [],
    special_tokens: {},
  };
}

function isByteLevel(decoder: unknown): boolean {
  if (!isObject(decoder)) return false;
  if (decoder.type === "ByteLevel") return true;
  return (
    decoder.type === "Sequence" &&
    Array.isArray(decoder.decoders) &&
    decoder.decoders.length === 1 &&
    isByteLevel(decoder.decoders[0])
  );
}

/** A special token in a configuration: its text alone or an object with `content`. */
function tokenText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return isObject(value) && typeof value.content === "string" ? value.content : undefined;
}
