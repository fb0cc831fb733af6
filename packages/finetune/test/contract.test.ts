// The example of the contract lies beside the repository where the command is developed; it is not part of it.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { readData } from "../src/dataset/read.ts";
import { loadTokenizer } from "../src/tokenizer/folder.ts";
import { graft, temporaryFolder } from "./graft.ts";

const contract = new URL("../../../../shared/contract/llama/", import.meta.url);
if (!existsSync(contract))
  console.log("the contract's example is not beside this repository; its counts are not checked");

describe.skipIf(!existsSync(contract))("the contract's example", () => {
  const folder = temporaryFolder();
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

  test.each([
    ["eval_rows", "rows.jsonl", []],
    ["eval_text_48", "text.txt", ["--sequence-length", "48"]],
    ["eval_plain", "rows.jsonl", ["--adapter", path("adapter_plain")]],
    ["eval_patterns", "rows.jsonl", ["--adapter", path("adapter_patterns")]],
  ])("eval gives the losses that transformers and PEFT give: %s", async (key, data, more) => {
    const words = ["--model", path(""), "--data", path(data), ...more, "--device", "cpu", "--json"];
    const ended = await graft("eval", ...words);
    expect(ended.code, ended.err).toBe(0);
    expect(ended.lines[0].tokens).toBe(expected[key].tokens);
    expect(Math.abs(Number(ended.lines[0].loss) - expected[key].loss)).toBeLessThan(1e-5);
  });

  test("generate gives the tokens that transformers gives", async () => {
    const { prompt, tokens } = expected.generate;
    const words = ["--model", path(""), "--prompt", prompt, "--max-new-tokens", "24", "--device", "cpu"];
    const ended = await graft("generate", ...words, "--json");
    expect(ended.lines[0].tokens).toEqual(tokens);
  });

  test("merge writes the weights that PEFT makes", async () => {
    const out = join(folder, "merged");
    const words = [
      "--model",
      path(""),
      "--adapter",
      path("adapter_patterns"),
      "--out",
      out,
      "--device",
      "cpu",
    ];
    expect((await graft("merge", ...words)).code).toBe(0);
    const ended = await graft(
      "eval",
      "--model",
      out,
      "--data",
      path("rows.jsonl"),
      "--device",
      "cpu",
      "--json",
    );
    expect(Math.abs(Number(ended.lines[0].loss) - expected.eval_patterns.loss)).toBeLessThan(1e-5);
  });
});
