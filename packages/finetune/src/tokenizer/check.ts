import { GraftError } from "../errors.ts";

/**
 * Refuses tokens that the model does not know, before they reach its embedding.
 * @param where - what the tokens are of, for example `the prompt`
 * @param first - place of `ids[0]` among the tokens, for the message. Default 0
 */
export function checkTokens(where: string, ids: readonly number[], vocabSize: number, first = 0): void {
  const at = ids.findIndex((id) => id < 0 || id >= vocabSize);
  if (at < 0) return;
  throw new GraftError(
    `${where}: every token must be from 0 to ${vocabSize - 1}, the model's vocabulary, got ${ids[at]} for token ${first + at}. Does the tokenizer belong to the model?`,
  );
}
