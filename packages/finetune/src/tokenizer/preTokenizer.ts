import { isObject, type JsonObject } from "../json.ts";

/** How GPT-2 cuts text into words; the tokenizers library of Rust uses it for every `ByteLevel` with `use_regex`. */
export const GPT2_PATTERN =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** Cuts the text so that each match of the pattern stands alone. */
export function splitIsolated(pattern: string): JsonObject {
  return { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
}

/** Bytes to the characters of the vocabulary, without cutting. */
export const byteLevel: JsonObject = {
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: false,
};

/**
 * The same pre-tokenizer with the character classes of Rust: `Digits` there means every numeric character, `\s` every white space
 * of Unicode, while @huggingface/tokenizers 0.2.0 takes ASCII digits and JavaScript's `\s`. Its `Split` has the right classes.
 */
export function rustPreTokenizer(json: unknown): unknown {
  if (!isObject(json)) return null;
  if (json.type === "Sequence" && Array.isArray(json.pretokenizers)) {
    return { ...json, pretokenizers: json.pretokenizers.map(rustPreTokenizer) };
  }
  if (json.type === "Digits") return splitIsolated(json.individual_digits === true ? "\\p{N}" : "\\p{N}+");
  if (json.type === "ByteLevel" && json.use_regex !== false && json.add_prefix_space === false) {
    return { type: "Sequence", pretokenizers: [splitIsolated(GPT2_PATTERN), byteLevel] };
  }
  return json;
}
