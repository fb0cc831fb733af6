import { createReadStream } from "node:fs";
import { basename } from "node:path";
import { GraftError } from "../errors.ts";
import { checkTokens } from "../tokenizer/check.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { countTargets, type Dataset, type Example } from "./example.ts";

export interface TextOptions {
  /** Tokens per window. */
  readonly sequenceLength: number;
  /** Tokens that the model knows. */
  readonly vocabSize: number;
  readonly tokenizer: Tokenizer;
  /** `train` drops the shorter window at the end, `eval` keeps it. */
  readonly use: "train" | "eval";
}

/**
 * Reads a .txt file: tokenized whole without special tokens, cut into consecutive windows, each predicted within itself.
 * @throws GraftError for bytes that are not UTF-8, for a token that the model does not know, and for too little text
 */
export async function readText(path: string, options: TextOptions): Promise<Dataset> {
  const { sequenceLength, tokenizer, vocabSize, use } = options;
  const name = JSON.stringify(basename(path));
  const examples: Example[] = [];
  let window: number[] = [];
  let count = 0;
  let targets = 0;
  const take = (inputIds: readonly number[]) => {
    examples.push({ inputIds, labels: inputIds });
    targets += countTargets(inputIds);
  };
  for await (const part of parts(path, name, tokenizer)) {
    const ids = tokenizer.encode(part);
    checkTokens(`data: ${name}`, ids, vocabSize, count);
    count += ids.length;
    for (const id of ids) {
      window.push(id);
      if (window.length === sequenceLength) {
        take(window);
        window = [];
      }
    }
  }
  if (use === "eval" && window.length > 1) take(window);
  if (examples.length === 0) {
    if (use === "train" && count > 1) {
      throw new GraftError(
        `data: ${name} must fill one sequence of ${sequenceLength} tokens at least, got ${count} tokens. Use --sequence-length ${count} or less, or a longer text.`,
      );
    }
    throw new GraftError(
      `data: ${name} must hold at least two tokens, so that one can be predicted, got ${count} up to its last line. Put some text into it.`,
    );
  }
  return { examples, rows: examples.length, leftOut: 0, cut: 0, targets };
}

/** Characters after which a part of a long text may end. */
const PART = 1 << 20;

/** The text in parts whose tokens, one after the other, are the tokens of the whole. */
async function* parts(path: string, name: string, tokenizer: Tokenizer): AsyncGenerator<string> {
  // Byte-level tokenizers cut words after a line end that a letter follows, so nothing joins over it.
  const divisible = tokenizer.byteLevel && !tokenizer.addedTokens.some((token) => token.includes("\n"));
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let held = "";
  let line = 1;
  const decode = (bytes?: Uint8Array) => {
    try {
      return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
    } catch (error) {
      throw new GraftError(
        `data: ${name} must be UTF-8 text, got other bytes at line ${line} or soon after. Save it as UTF-8.`,
        { cause: error },
      );
    }
  };
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 16 })) {
    const bytes: Uint8Array = chunk;
    held += decode(bytes);
    for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) line++;
    const end = divisible && held.length >= PART ? lastBreak(held) : 0;
    if (end > 0) {
      yield held.slice(0, end);
      held = held.slice(end);
    }
  }
  held += decode();
  if (held !== "") yield held;
}

/** One past the last single line end between a letter or mark and a letter; 0 where there is none. */
function lastBreak(text: string): number {
  for (let at = text.lastIndexOf("\n"); at > 0; at = text.lastIndexOf("\n", at - 1)) {
    if (/^[^\s]\n\p{L}/u.test(text.slice(at - 1, at + 3))) return at + 1;
  }
  return 0;
}
