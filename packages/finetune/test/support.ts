// Small tokenizers for the tests, in the shapes that model folders have.
import { createTokenizer, type Tokenizer } from "../src/tokenizer/tokenizer.ts";

/** The 256 characters of a byte-level vocabulary, by byte. */
export const byteCharacters: readonly string[] = (() => {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(printable ? byte : next++);
  });
})();

export const merges: readonly (readonly [string, string])[] = [
  ["h", "e"],
  ["Ġ", "t"],
  ["Ġt", "he"],
  ["i", "n"],
  ["Ċ", "Ċ"],
  ["Ã", "¼"],
  ["1", "2"],
];

/** Special tokens first, then the bytes, then the merged tokens. */
export const specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] as const;

export const vocab: Readonly<Record<string, number>> = Object.fromEntries(
  [...specials, ...byteCharacters, ...merges.map(([a, b]) => a + b)].map((token, id) => [token, id]),
);

/** A byte-level BPE `tokenizer.json` as SmolLM2 has it. */
export function tokenizerJson(changes: object = {}): Record<string, unknown> {
  return {
    version: "1.0",
    added_tokens: specials.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Digits", individual_digits: true },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
      ],
    },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges,
    },
    ...changes,
  };
}

export const CHATML =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

export function smallTokenizer(
  changes: { json?: object; config?: Record<string, unknown>; chatTemplate?: string } = {},
): Tokenizer {
  return createTokenizer({
    where: '"tokenizer.json"',
    json: tokenizerJson(changes.json),
    config: { bos_token: "<|im_start|>", eos_token: "<|im_end|>", ...changes.config },
    chatTemplate: changes.chatTemplate ?? CHATML,
  });
}

/** Text as people of Europe write it, with the white space and signs that tokenizers stumble over. */
export const alphabet = [
  ..."abehint THE äöüßéèñçøłŽ 0123456789¼٣ .,;:!?'\"()[]{}<>|=+-*/\\_~^`@#$%&€§\t\n\r\u00a0\u0085\u2028\ufeff😀한",
];
