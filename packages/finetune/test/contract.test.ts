// The example of the contract lies beside the repository where the command is developed; it is not part of it.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { readData } from "../src/dataset/read.ts";
import { loadTokenizer } from "../src/tokenizer/folder.ts";

const contract = new URL("../../../../shared/contract/llama/", import.meta.url);
if (!existsSync(contract))
  console.log("the contract's example is not beside this repository; its counts are not checked");

describe.skipIf(!existsSync(contract))("the contract's example", () => {
  const path = (name: string) => fileURLToPath(new URL(name, contract));
  const tokenizer = () => loadTokenizer(fileURLToPath(contract));
  const expected = existsSync(contract)
    ? JSON.parse(readFileSync(new URL("../expect.json", contract), "utf8")).llama
    : undefined;

  test("rows and text have the targets that transformers counts", async () => {
    const vocabSize = 320;
    const rows = await readData(path("rows.jsonl"), {
      sequenceLength: 256,
      vocabSize,
      tokenizer,
      use: "eval",
    });
    expect(rows.targets).toBe(expected.eval_rows.tokens);
    const text = await readData(path("text.txt"), { sequenceLength: 48, vocabSize, tokenizer, use: "eval" });
    expect(text.targets).toBe(expected.eval_text_48.tokens);
  });

  test("the end of text is the model's", async () => {
    expect(await tokenizer()).toMatchObject({ eosTokenId: 0, eosTokenIds: [0], vocabSize: 316 });
  });
});
