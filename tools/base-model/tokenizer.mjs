// Trains the tokenizer of the embedded base model on its training speeches, and checks it.
//
//   node tools/base-model/tokenizer.mjs            writes packages/finetune/embedded/tokenizer*.json, then checks
//   node tools/base-model/tokenizer.mjs --check    only checks the files that are there
//
// Byte-level BPE with 2048 tokens: <|endoftext|>, the 256 bytes, 1791 merges. No randomness: pairs
// of equal weight are merged in the order of their ids.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { baseCorpus, demoExcerpt, embeddedFolder, mobyDick } from "./corpus.mjs";

const vocabularySize = 2048;
const endOfText = "<|endoftext|>";
/** Weight of a word seen n times: n ** dampening. Below 1 so that frequent words of one genre take fewer merges. */
const dampening = 0.8;

/** GPT-2's names of the 256 bytes: printable Latin-1 characters stand for themselves. */
function byteNames() {
  const names = [];
  let shifted = 0;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    names.push(String.fromCharCode(printable ? byte : 256 + shifted++));
  }
  return names;
}

/** Counts of GPT-2 words, digits one by one. @param {Iterable<string>} texts */
function countWords(texts) {
  const pattern = /'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const text of texts) {
    for (const part of text.split(/\p{N}/u)) {
      for (const [word] of part.matchAll(pattern)) counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  return counts;
}

/**
 * Greedy BPE: merge the heaviest pair of neighbours until there are `merges` of them.
 * @param {Map<string, number>} counts
 * @param {string[]} tokens  names of the first tokens; merged ones are added
 * @param {Map<string, number>} byteIds
 * @param {number} size  number of tokens to reach
 * @param {number} power
 * @returns {[string, string][]}
 */
export function trainMerges(counts, tokens, byteIds, size, power) {
  const names = byteNames();
  const words = [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([word, count]) => ({
      ids: [...Buffer.from(word)].map((byte) => /** @type {number} */ (byteIds.get(names[byte]))),
      // A whole number, so that sums do not depend on their order.
      weight: Math.round(16 * count ** power),
    }));
  /** @type {Map<number, number>} */
  const weights = new Map();
  /** @type {Map<number, Set<number>>} */
  const where = new Map();
  const key = (/** @type {number} */ a, /** @type {number} */ b) => a * 65536 + b;
  const add = (/** @type {number} */ index, /** @type {1 | -1} */ sign) => {
    const { ids, weight } = words[index];
    for (let i = 0; i + 1 < ids.length; i++) {
      const pair = key(ids[i], ids[i + 1]);
      weights.set(pair, (weights.get(pair) ?? 0) + sign * weight);
      if (sign === 1) {
        const set = where.get(pair);
        if (set) set.add(index);
        else where.set(pair, new Set([index]));
      }
    }
  };
  for (let index = 0; index < words.length; index++) add(index, 1);

  /** @type {[string, string][]} */
  const merges = [];
  while (tokens.length < size) {
    let best = -1;
    let most = 0;
    for (const [pair, weight] of weights) {
      if (weight > most || (weight === most && pair < best)) {
        best = pair;
        most = weight;
      }
    }
    if (most <= 0) throw new Error("the text is too short for this vocabulary");
    const left = Math.floor(best / 65536);
    const right = best % 65536;
    const id = tokens.length;
    merges.push([tokens[left], tokens[right]]);
    tokens.push(tokens[left] + tokens[right]);
    for (const index of /** @type {Set<number>} */ (where.get(best))) {
      const { ids } = words[index];
      add(index, -1);
      const merged = [];
      for (let i = 0; i < ids.length; i++) {
        if (ids[i] === left && ids[i + 1] === right) {
          merged.push(id);
          i++;
        } else merged.push(ids[i]);
      }
      words[index].ids = merged;
      add(index, 1);
    }
    weights.delete(best);
    where.delete(best);
  }
  return merges;
}

/** @param {Iterable<string>} texts */
export function trainTokenizer(texts, power = dampening) {
  const tokens = [endOfText, ...byteNames().sort()];
  const byteIds = new Map(tokens.map((token, id) => [token, id]));
  const merges = trainMerges(countWords(texts), tokens, byteIds, vocabularySize, power);
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [
      {
        id: 0,
        content: endOfText,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      },
    ],
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [{ type: "Digits", individual_digits: true }, byteLevel],
    },
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: merges.map(([a, b]) => `${a} ${b}`),
    },
  };
  const config = {
    add_bos_token: false,
    add_eos_token: false,
    added_tokens_decoder: {
      0: {
        content: endOfText,
        lstrip: false,
        normalized: false,
        rstrip: false,
        single_word: false,
        special: true,
      },
    },
    bos_token: endOfText,
    clean_up_tokenization_spaces: false,
    eos_token: endOfText,
    model_max_length: 512,
    tokenizer_class: "PreTrainedTokenizerFast",
  };
  return { tokenizer, config };
}

/**
 * Compares the tokenizer of the library (JavaScript) with the Rust one and takes every text there
 * and back. Throws at the first difference.
 */
export async function checkTokenizer() {
  const root = createRequire(join(dirname(fileURLToPath(import.meta.url)), "..", "..", "package.json"));
  const { Tokenizer: Rust } = root("tokenizers");
  const library = createRequire(join(embeddedFolder, "..", "package.json"));
  const { Tokenizer: Js } = library("@huggingface/tokenizers");
  const read = (/** @type {string} */ name) => JSON.parse(readFileSync(join(embeddedFolder, name), "utf8"));
  const js = new Js(read("tokenizer.json"), read("tokenizer_config.json"));
  const rust = Rust.fromFile(join(embeddedFolder, "tokenizer.json"));
  if (rust.getVocabSize(true) !== vocabularySize) throw new Error(`vocabulary of ${rust.getVocabSize(true)}`);

  const base = baseCorpus();
  const novel = mobyDick();
  const demo = demoExcerpt();
  // biome-ignore format: short samples
  const odd = [
    "", " ", "  two  spaces ", "\n\n\n", "tab\tand\r\nreturn", "In 1851, $3,000,000.50 -- 54° 40'", "½ ² ٣ Ⅷ",
    "don't I'LL we've", "naïve Œuvre 鯨 🐋 עברית e\u0301", "\u0000\u0007\u00a0\u2028", "a <|endoftext|>b<|endoftext|>",
    "<|endoftext", "snake_case(x) == {'a': [1, 2.5e-3]};  // ok", " ,.", "hello , world ' s n't",
  ];
  /** @type {[string, string[]][]} */
  const sets = [
    ["speeches, train", base.train.map((d) => d.text)],
    ["speeches, held out", base.heldOut.map((d) => d.text)],
    ["Moby Dick, train", [novel.train]],
    ["Moby Dick, held out", [novel.heldOut]],
    ["demo, train", [demo.train]],
    ["demo, held out", [demo.heldOut]],
    ["odd strings", odd],
  ];
  const used = new Set();
  for (const [name, texts] of sets) {
    let characters = 0;
    let count = 0;
    for (const text of texts) {
      /** @type {number[]} */
      const ids = js.encode(text).ids;
      const expected = (await rust.encode(text)).getIds();
      const at = expected.findIndex((/** @type {number} */ id, /** @type {number} */ i) => id !== ids[i]);
      if (at >= 0 || ids.length !== expected.length) {
        throw new Error(`${name}: Rust differs at token ${at} of ${JSON.stringify(text.slice(0, 60))}`);
      }
      const back = ids.length === 0 ? "" : js.decode(ids, { skip_special_tokens: false });
      if (back !== text) throw new Error(`${name}: decoded ${JSON.stringify(back.slice(0, 60))}`);
      if ((await rust.decode(ids, false)) !== text) throw new Error(`${name}: Rust decodes another text`);
      if (name === "speeches, train") for (const id of ids) used.add(id);
      characters += text.length;
      count += ids.length;
    }
    console.log(
      `${name.padEnd(20)} ${String(characters).padStart(9)} characters ${String(count).padStart(8)} tokens  ${(characters / count).toFixed(3)} per token`,
    );
  }
  console.log(`tokens used by the training speeches: ${used.size} of ${vocabularySize}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (!process.argv.includes("--check")) {
    const { tokenizer, config } = trainTokenizer(baseCorpus().train.map((d) => d.text));
    mkdirSync(embeddedFolder, { recursive: true });
    writeFileSync(join(embeddedFolder, "tokenizer.json"), `${JSON.stringify(tokenizer, null, 1)}\n`);
    writeFileSync(join(embeddedFolder, "tokenizer_config.json"), `${JSON.stringify(config, null, 2)}\n`);
  }
  await checkTokenizer();
}
