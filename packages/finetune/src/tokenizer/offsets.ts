import { GraftError } from "../errors.ts";
import { tokenBytes } from "./bytes.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Finds the tokens of a text that a range of its characters needs. */
export interface TokenOffsets {
  /** Index of the token that holds the character at `offset` (UTF-16 units); the number of tokens at the text's end. */
  at(offset: number): number;
}

/**
 * Maps characters to tokens for `ids = tokenizer.encode(text)` without special tokens.
 * @throws GraftError where the tokens do not give the text back, so that no map exists
 */
export function tokenOffsets(tokenizer: Tokenizer, text: string, ids: readonly number[]): TokenOffsets {
  return tokenizer.byteLevel ? byteOffsets(tokenizer, text, ids) : decodedOffsets(tokenizer, text, ids);
}

function byteOffsets(tokenizer: Tokenizer, text: string, ids: readonly number[]): TokenOffsets {
  const lengths = ids.map((id) => tokenBytes(tokenizer, id).length);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  // A tokenizer that normalizes (Qwen: NFC) gives the bytes of the normalized text.
  const form = [text, text.normalize("NFC")].find((candidate) => Buffer.byteLength(candidate) === total);
  if (form === undefined) throw lost();
  const normalized = form !== text;
  return {
    at(offset) {
      const before = text.slice(0, offset);
      const bytes = Buffer.byteLength(normalized ? before.normalize("NFC") : before);
      let end = 0;
      const index = lengths.findIndex((length) => {
        end += length;
        return end > bytes;
      });
      return index < 0 ? ids.length : index;
    },
  };
}

/** For other tokenizers: the text of the first tokens grows with their number, so halving finds the place. */
function decodedOffsets(tokenizer: Tokenizer, text: string, ids: readonly number[]): TokenOffsets {
  const whole = tokenizer.decode(ids);
  const shift = text.length - whole.length;
  // Some decoders drop one space in front.
  if (whole !== text && !(shift > 0 && text.trimStart() === whole)) throw lost();
  return {
    at(offset) {
      let low = 0;
      let high = ids.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (tokenizer.decode(ids.slice(0, middle + 1)).length > offset - shift) high = middle;
        else low = middle + 1;
      }
      return low;
    },
  };
}

function lost(): GraftError {
  return new GraftError(
    "chat: the tokens of a conversation must give its text back, got other text, so the assistant's turns cannot be found in it. Give prompt/completion or input_ids rows instead.",
  );
}
