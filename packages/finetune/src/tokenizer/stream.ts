import { tokenBytes } from "./bytes.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Turns tokens into text as they come: a character is given out when all its bytes are there. */
export interface TextStream {
  /** The text that is complete with this token; may be empty. */
  push(id: number): string;
  /** What was held back, with U+FFFD for bytes that never became a character. */
  end(): string;
}

/** Special tokens give no text. */
export function createTextStream(tokenizer: Tokenizer): TextStream {
  return tokenizer.byteLevel ? byteStream(tokenizer) : decodingStream(tokenizer);
}

function byteStream(tokenizer: Tokenizer): TextStream {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return {
    push: (id) =>
      tokenizer.isSpecial(id) ? "" : decoder.decode(tokenBytes(tokenizer, id), { stream: true }),
    end: () => decoder.decode(),
  };
}

/** For tokenizers whose tokens are not bytes: decode all, give out what is new, hold back an unfinished end. */
function decodingStream(tokenizer: Tokenizer): TextStream {
  const ids: number[] = [];
  let given = 0;
  const rest = (text: string) => {
    const fresh = text.slice(given);
    given = Math.max(given, text.length);
    return fresh;
  };
  return {
    push(id) {
      ids.push(id);
      const text = tokenizer.decode(ids, { skipSpecialTokens: true });
      return text.endsWith("\uFFFD") ? "" : rest(text);
    },
    end: () => rest(tokenizer.decode(ids, { skipSpecialTokens: true })),
  };
}
