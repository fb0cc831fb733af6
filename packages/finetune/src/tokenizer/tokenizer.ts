import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { GraftError } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { prepareTokenizerJson } from "./prepare.ts";

/** Text to token ids and back. */
export interface Tokenizer {
  /** One more than the largest token id. */
  readonly vocabSize: number;
  /** Ends a row of training data; undefined where the tokenizer names none. */
  readonly eosTokenId: number | undefined;
  /** Every token that ends generation. */
  readonly eosTokenIds: readonly number[];
  readonly bosTokenId: number | undefined;
  /** Jinja source of the chat template. */
  readonly chatTemplate: string | undefined;
  /** The special tokens by role (`bos_token`, `eos_token`, …), as chat templates name them. */
  readonly specialTokens: Readonly<Record<string, string>>;
  /** Whether tokens are pieces of UTF-8 bytes, so that `tokenBytes` is exact. */
  readonly byteLevel: boolean;
  /** Text of the tokens that are matched in the text before everything else. */
  readonly addedTokens: readonly string[];
  /** @param options.addSpecialTokens - put around the text what the tokenizer itself puts there. Default false */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[];
  /** @param options.skipSpecialTokens - leave special tokens out of the text. Default false */
  decode(ids: readonly number[], options?: { readonly skipSpecialTokens?: boolean }): string;
  idToToken(id: number): string | undefined;
  tokenToId(token: string): number | undefined;
  isSpecial(id: number): boolean;
  isAdded(id: number): boolean;
}

/** What is used of the library, whose own declarations do not resolve under Node's module resolution. */
interface Inner {
  encode(text: string, options?: { add_special_tokens?: boolean }): { ids: readonly (number | undefined)[] };
  decode(ids: readonly number[]): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_added_tokens_decoder(): ReadonlyMap<number, { readonly content: string; readonly special: boolean }>;
}

/** What stands beside a `tokenizer.json`. */
export interface TokenizerSetup {
  /** Name of the file or model, for messages. */
  readonly where: string;
  /** The parsed `tokenizer.json`. */
  readonly json: unknown;
  /** The parsed `tokenizer_config.json`, `{}` where there is none. */
  readonly config: JsonObject;
  /** Ends of text from elsewhere (`generation_config.json`, `config.json`, GGUF metadata). */
  readonly eosTokenIds?: readonly number[];
  readonly chatTemplate?: string;
}

/**
 * A tokenizer from the contents of its files.
 * @throws GraftError where they do not make a tokenizer, naming the file and what is wrong
 */
export function createTokenizer(setup: TokenizerSetup): Tokenizer {
  const { where, config } = setup;
  const prepared = prepareTokenizerJson(where, setup.json, config);
  let inner: Inner;
  try {
    inner = new HuggingFaceTokenizer(prepared.json, { ...config, clean_up_tokenization_spaces: false });
    inner.encode("a b 1."); // shows what the constructor does not look at
  } catch (error) {
    throw broken(where, error);
  }
  const added = inner.get_added_tokens_decoder();
  const idOf = (role: string) => {
    const token = prepared.specialTokens[role];
    return token === undefined ? undefined : inner.token_to_id(token);
  };
  const own = idOf("eos_token");
  const eosTokenIds = [...new Set([...(own === undefined ? [] : [own]), ...(setup.eosTokenIds ?? [])])];
  return {
    vocabSize: prepared.vocabSize,
    eosTokenId: own ?? setup.eosTokenIds?.[0],
    eosTokenIds,
    bosTokenId: idOf("bos_token"),
    chatTemplate: setup.chatTemplate,
    specialTokens: prepared.specialTokens,
    byteLevel: prepared.byteLevel,
    addedTokens: [...added.values()].map((token) => token.content),
    encode(text, { addSpecialTokens = false } = {}) {
      if (text === "" && !addSpecialTokens) return [];
      const found = inner.encode(text, {
        add_special_tokens: addSpecialTokens,
      }).ids;
      const ids = found.filter((id) => id !== undefined);
      if (ids.length < found.length) {
        throw new GraftError(
          `tokenizer ${where}: a piece of the text has no token and there is no token for unknown text. Use the tokenizer.json that came with the model.`,
        );
      }
      return ids;
    },
    decode(ids, { skipSpecialTokens = false } = {}) {
      const shown = skipSpecialTokens ? ids.filter((id) => added.get(id)?.special !== true) : [...ids];
      const strange = shown.find((id) => inner.id_to_token(id) === undefined);
      if (strange !== undefined) {
        throw new GraftError(
          `tokenizer ${where}: a token id must be one of its ${prepared.vocabSize}, got ${strange}. Does this tokenizer belong to the model?`,
        );
      }
      return shown.length === 0 ? "" : inner.decode(shown);
    },
    idToToken: (id) => inner.id_to_token(id),
    tokenToId: (token) => inner.token_to_id(token),
    isSpecial: (id) => added.get(id)?.special === true,
    isAdded: (id) => added.has(id),
  };
}

function broken(where: string, error: unknown): GraftError {
  const reason = error instanceof Error ? error.message : String(error);
  return new GraftError(
    `tokenizer ${where}: the file does not describe a tokenizer that can be used (${reason}). Copy tokenizer.json again from where the model came from.`,
    {
      cause: error,
    },
  );
}
