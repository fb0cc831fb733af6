import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { changedModel, failure, golden, graft, jsonl, readTensors, temporaryFolder } from "./graft.ts";

const folder = temporaryFolder();
const model = golden("models/llama");
const rows = jsonl(join(folder, "rows.jsonl"), [{ input_ids: [1, 2, 3, 4] }, { input_ids: [5, 6, 7] }]);

/** Rows of a golden model's expectation file. */
async function goldenRows(name: string): Promise<string> {
  const tensors = await readTensors(golden(`models/${name}.expect.safetensors`));
  const [ids, labels] = ["input_ids", "labels"].map((key) => {
    const tensor = tensors.get(key);
    if (tensor === undefined) throw new Error(`${name} has no ${key}`);
    const [count, length] = tensor.shape;
    return Array.from({ length: count }, (_, row) => [
      ...tensor.values.slice(row * length, (row + 1) * length),
    ]);
  });
  return jsonl(
    join(folder, `${name}.jsonl`),
    ids.map((input_ids, row) => ({ input_ids, labels: labels[row] })),
  );
}

describe("eval", () => {
  test.each([
    "llama",
    "llama-odd",
    "llama-f16",
    "llama-bf16",
    "llama3-rope",
    "linear-rope",
    "mistral",
    "qwen2",
    "sharded",
    "gpt2",
    "gpt2-odd",
  ])("gives the loss that transformers gives: %s", async (name) => {
    const expected = JSON.parse(readFileSync(golden(`models/${name}.json`), "utf8"));
    const data = await goldenRows(name);
    const ended = await graft(
      "eval",
      "--model",
      golden(`models/${name}`),
      "--data",
      data,
      "--device",
      "cpu",
      "--json",
    );
    expect(ended).toMatchObject({ code: 0, err: "" });
    expect(ended.lines).toHaveLength(1);
    const [{ loss, perplexity, tokens }] = ended.lines;
    expect(tokens).toBe(expected.targets);
    expect(loss).toBeCloseTo(expected.loss, 5);
    expect(perplexity).toBe(Math.exp(Number(loss)));
  });

  test("says the same in words", async () => {
    const ended = await graft("eval", "--model", model, "--data", rows, "--device", "cpu");
    expect(ended.out).toMatch(/^loss \d+\.\d{6} {2}perplexity \d+\.\d{4} {2}\(5 tokens\)\n$/);
  });

  test("a loss that is no number is a failure that names the row", async () => {
    const broken = await changedModel(model, join(folder, "broken"), {
      weight: (name, values) => {
        if (name === "model.embed_tokens.weight") values[6 * 32] = Number.NaN; // token 6
      },
    });
    const untied = await changedModel(model, join(folder, "inf"), {
      weight: (name, values) => {
        if (name === "model.norm.weight") values.fill(Number.POSITIVE_INFINITY);
      },
    });
    for (const path of [broken, untied]) {
      const message = await failure(1, "eval", "--model", path, "--data", rows, "--device", "cpu", "--json");
      expect(message).toMatch(/^graft: eval: the loss of row [12] is not finite, so there is no result\./);
    }
    const data = jsonl(join(folder, "second.jsonl"), [{ input_ids: [1] }, { input_ids: [1, 2] }]);
    const message = await failure(1, "eval", "--model", broken, "--data", data, "--device", "cpu");
    expect(message).toContain("the loss of row 2 is not finite"); // a row that is left out counts
  });

  test("a token that the model does not know is a failure that names the line", async () => {
    const data = jsonl(join(folder, "beyond.jsonl"), [{ input_ids: [1, 2] }, { input_ids: [1, 96] }]);
    expect(await failure(1, "eval", "--model", model, "--data", data, "--device", "cpu")).toBe(
      'graft: data: "beyond.jsonl", line 2: every token must be from 0 to 95, the model\'s vocabulary, got 96 at position 1.',
    );
  });

  test("a missing value is wrong usage, a missing file is not", async () => {
    expect(await failure(2, "eval", "--model", model)).toMatch(/^graft: eval: --data must be given\./);
    expect(await failure(1, "eval", "--model", model, "--data", join(folder, "none.jsonl"))).toMatch(
      /^graft: data: ".*none\.jsonl" must be a \.txt or \.jsonl file, got no file of that name\. Check the path\.$/,
    );
  });

  test("notices do not reach standard output", async () => {
    const data = jsonl(join(folder, "long.jsonl"), [
      { input_ids: [1, 2, 3, 4] },
      { input_ids: [1], labels: [1] },
    ]);
    const ended = await graft(
      "eval",
      "--model",
      model,
      "--data",
      data,
      "--sequence-length",
      "3",
      "--device",
      "cpu",
      "--json",
    );
    expect(ended.lines).toMatchObject([{ tokens: 2 }]);
    expect(ended.err).toMatch(/have no target and are left out/);
    expect(ended.err).toMatch(/are cut there/);
  });
});
