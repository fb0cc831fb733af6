import type { ChatTemplate } from "../chat.ts";
import { GraftError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { type Example, IGNORED } from "./example.ts";
import { type Row, RowProblem } from "./rows.ts";

/** What turns rows into tokens; asked for only by rows that need it, so that input_ids rows work without a tokenizer. */
export interface RowEncoder {
  readonly tokenizer: Tokenizer;
  readonly chat: () => ChatTemplate;
}

/**
 * The tokens and labels of a row, uncut.
 * @param vocabSize - tokens that the model knows
 * @throws RowProblem for a token that the model does not know or a tokenizer without eos_token
 */
export function encodeRow(row: Row, vocabSize: number, encoder: () => RowEncoder): Example {
  const example = tokensOf(row, encoder);
  check(example.inputIds, vocabSize, "token");
  if (example.labels !== example.inputIds) check(example.labels, vocabSize, "label");
  return example;
}

function tokensOf(row: Row, encoder: () => RowEncoder): Example {
  switch (row.shape) {
    case "input_ids":
      return { inputIds: row.inputIds, labels: row.labels };
    case "text": {
      const { tokenizer } = encoder();
      const inputIds = [...tokenizer.encode(row.text, { addSpecialTokens: true }), eosOf(tokenizer)];
      return { inputIds, labels: inputIds };
    }
    case "prompt/completion": {
      const { tokenizer } = encoder();
      const prompt = tokenizer.encode(row.prompt, { addSpecialTokens: true });
      const answer = [...tokenizer.encode(row.completion), eosOf(tokenizer)];
      return { inputIds: [...prompt, ...answer], labels: [...prompt.map(() => IGNORED), ...answer] };
    }
    case "messages": {
      const chat = encoder().chat();
      try {
        const { inputIds, learned } = chat.tokenize(row.messages);
        return { inputIds, labels: inputIds.map((id, i) => (learned[i] ? id : IGNORED)) };
      } catch (error) {
        throw error instanceof GraftError ? new RowProblem(error.message, { cause: error }) : error;
      }
    }
  }
}

function eosOf({ eosTokenId }: Tokenizer): number {
  if (eosTokenId === undefined)
    throw new RowProblem(
      "needs an eos_token at its end, but the tokenizer names none; add eos_token to tokenizer_config.json",
    );
  return eosTokenId;
}

function check(ids: readonly number[], vocabSize: number, what: string): void {
  const at = ids.findIndex((id) => id >= vocabSize || (id < 0 && !(what === "label" && id === IGNORED)));
  if (at >= 0)
    throw new RowProblem(
      `every ${what} must be from 0 to ${vocabSize - 1}${what === "label" ? " or −100" : ""}, the model's vocabulary, got ${ids[at]} at position ${at}`,
    );
}
