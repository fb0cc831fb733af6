import { stat } from "node:fs/promises";
import { createChatTemplate } from "../chat.ts";
import { GraftError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Dataset } from "./example.ts";
import { readJsonl } from "./jsonl.ts";
import { readText } from "./text.ts";

export interface DataOptions {
  /** Tokens per row or window. */
  readonly sequenceLength: number;
  /** Tokens that the model knows. */
  readonly vocabSize: number;
  /** Loads the tokenizer; not called for input_ids rows. */
  readonly tokenizer: () => Promise<Tokenizer>;
  readonly use: "train" | "eval";
}

/**
 * Reads a `.txt` or `.jsonl` file into examples.
 * @throws GraftError where the file is of another kind, missing, or wrong in itself; the message names the line
 */
export async function readData(path: string, options: DataOptions): Promise<Dataset> {
  const { sequenceLength, vocabSize, use } = options;
  const shown = JSON.stringify(path);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined)
    throw new GraftError(
      `data: ${shown} must be a .txt or .jsonl file, got no file of that name. Check the path.`,
    );
  if (!found.isFile())
    throw new GraftError(
      `data: ${shown} must be a .txt or .jsonl file, got a folder or device. Give one file.`,
    );
  if (path.toLowerCase().endsWith(".jsonl")) {
    const encoder = async () => {
      const tokenizer = await options.tokenizer();
      let chat: ReturnType<typeof createChatTemplate> | undefined;
      return {
        tokenizer,
        chat: () => {
          chat ??= createChatTemplate(tokenizer);
          return chat;
        },
      };
    };
    return readJsonl(path, { sequenceLength, vocabSize, encoder });
  }
  if (path.toLowerCase().endsWith(".txt"))
    return readText(path, { sequenceLength, vocabSize, tokenizer: await options.tokenizer(), use });
  throw new GraftError(
    `data: ${shown} must end in .txt (plain text) or .jsonl (one JSON object a line), got another ending. Rename or convert it.`,
  );
}
