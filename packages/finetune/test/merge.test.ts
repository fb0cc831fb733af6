import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  changedModel,
  failure,
  golden,
  graft,
  jsonl,
  readTensors,
  temporaryFolder,
  writeFiles,
} from "./graft.ts";

const folder = temporaryFolder();
const base = golden("adapters/base");
const plain = golden("adapters/plain");
const rows = jsonl(join(folder, "rows.jsonl"), [
  { input_ids: [1, 2, 3, 4, 60, 71] },
  { input_ids: [9, 8, 7] },
]);
const out = (name: string) => join(folder, "out", name);

const evaluate = async (...words: string[]): Promise<number> => {
  const ended = await graft("eval", "--data", rows, "--device", "cpu", "--json", ...words);
  expect(ended.code, ended.err).toBe(0);
  return Number(ended.lines[0].loss);
};
const merge = (...words: string[]) => graft("merge", "--device", "cpu", ...words);

describe("merge", () => {
  const { accepted } = JSON.parse(readFileSync(golden("adapters/adapters.json"), "utf8"));
  test.each(Object.entries<string>(accepted))(
    "the merged folder has the loss of base and adapter, and PEFT's weights: %s",
    async (name, path) => {
      const adapter = golden(`adapters/${path}`);
      const ended = await merge("--model", base, "--adapter", adapter, "--out", out(name), "--json");
      expect(ended).toMatchObject({ code: 0, lines: [{ out: out(name), dtype: "f32" }] });
      const whole = await evaluate("--model", base, "--adapter", adapter);
      expect(Math.abs((await evaluate("--model", out(name))) - whole)).toBeLessThan(1e-5);
      expect(Math.abs((await evaluate("--model", base)) - whole)).toBeGreaterThan(1e-4);
      const written = await readTensors(join(out(name), "model.safetensors"));
      const expected = await readTensors(golden(`adapters/${name}.expect.safetensors`));
      for (const [key, { values }] of expected) {
        if (!key.startsWith("merged.")) continue;
        const own = written.get(key.slice("merged.".length))?.values ?? [];
        values.forEach((value, i) => {
          expect(Math.abs(own[i] - value), key).toBeLessThan(1e-6);
        });
      }
    },
  );

  test("the dtype is the base's unless one is given", async () => {
    const half = golden("models/llama-bf16");
    const start = golden("adapters/minimal");
    const adapter = join(folder, "half-adapter");
    cpSync(start, adapter, { recursive: true });
    await merge("--model", half, "--adapter", adapter, "--out", out("bf16"));
    await merge("--model", half, "--adapter", adapter, "--out", out("as-f16"), "--dtype", "f16");
    for (const [name, dtype, torch] of [
      ["bf16", "BF16", "bfloat16"],
      ["as-f16", "F16", "float16"],
    ]) {
      const tensors = await readTensors(join(out(name), "model.safetensors"));
      expect([...new Set([...tensors.values()].map((tensor) => tensor.dtype))]).toEqual([dtype]);
      const config = JSON.parse(readFileSync(join(out(name), "config.json"), "utf8"));
      expect(config.dtype ?? config.torch_dtype).toBe(torch);
    }
    // What the adapter does not touch is copied bit for bit.
    const before = await readTensors(join(half, "model.safetensors"));
    const after = await readTensors(join(out("bf16"), "model.safetensors"));
    expect(after.get("model.norm.weight")?.values).toEqual(before.get("model.norm.weight")?.values);
    expect(after.has("lm_head.weight")).toBe(before.has("lm_head.weight"));
  });

  test("an adapter of a head that is tied is written apart from the embedding", async () => {
    const tied = await changedModel(base, join(folder, "tied"), { config: { tie_word_embeddings: true } });
    const adapter = golden("adapters/head");
    const ended = await merge("--model", tied, "--adapter", adapter, "--out", out("tied"));
    expect(ended.code, ended.err).toBe(0);
    expect(ended.err).toBe(
      "The adapter changes lm_head, whose weight was shared with another layer; it is written apart from it.\n",
    );
    expect(JSON.parse(readFileSync(join(out("tied"), "config.json"), "utf8")).tie_word_embeddings).toBe(
      false,
    );
    const whole = await evaluate("--model", tied, "--adapter", adapter);
    expect(Math.abs((await evaluate("--model", out("tied"))) - whole)).toBeLessThan(1e-5);
  });

  test("a GGUF base becomes a folder with configuration and tokenizer", async () => {
    const gguf = golden("gguf_models/llama.gguf");
    const trained = join(folder, "gguf-adapter");
    const text = jsonl(join(folder, "text.jsonl"), [{ text: "The baker bakes." }]);
    const done = await graft(
      "finetune",
      "--model",
      gguf,
      "--data",
      text,
      "--out",
      trained,
      "--steps",
      "2",
      "--learning-rate",
      "0.05",
      "--device",
      "cpu",
    );
    expect(done.code, done.err).toBe(0);
    const ended = await merge("--model", gguf, "--adapter", trained, "--out", out("gguf"), "--json");
    expect(ended).toMatchObject({ code: 0, lines: [{ dtype: "f16" }] });
    expect(readdirSync(out("gguf")).sort()).toEqual([
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    await merge("--model", gguf, "--adapter", trained, "--out", out("gguf32"), "--dtype", "f32");
    const loss = async (...words: string[]) => {
      const result = await graft("eval", "--data", text, "--device", "cpu", "--json", ...words);
      return result.lines[0];
    };
    const whole = await loss("--model", gguf, "--adapter", trained);
    const merged = await loss("--model", out("gguf32"));
    expect(merged.tokens).toBe(whole.tokens);
    expect(merged.loss).toBeCloseTo(Number(whole.loss), 5);
    const chat = [
      "generate",
      "--prompt",
      "Why 12?",
      "--chat",
      "--max-new-tokens",
      "8",
      "--device",
      "cpu",
      "--json",
    ];
    const own = await graft(...chat, "--model", gguf, "--adapter", trained);
    expect((await graft(...chat, "--model", out("gguf32"))).lines).toEqual(own.lines);
  });

  test("an --out that is taken is refused before anything is read, unless --force", async () => {
    const taken = writeFiles(out("taken"), { "notes.txt": "mine" });
    const none = join(folder, "no-such-model");
    expect(await failure(1, "merge", "--model", none, "--adapter", plain, "--out", taken)).toBe(
      `graft: merge: --out ${JSON.stringify(taken)} must be empty or free, got a folder with 1 file. Choose another folder, or use --force to replace it.`,
    );
    expect(
      await failure(1, "merge", "--model", none, "--adapter", plain, "--out", join(taken, "notes.txt")),
    ).toMatch(/must be a folder or free, got a file\. Choose another name\.$/);
    expect(await failure(1, "merge", "--model", base, "--adapter", plain, "--out", base, "--force")).toMatch(
      /must not replace what is read, got the folder of .*\. Choose another folder\.$/,
    );
    expect(
      await failure(1, "merge", "--model", base, "--adapter", plain, "--out", join(taken, "notes.txt", "x")),
    ).toMatch(/must lie in a folder that can be written, but .* is none\. Choose another place\.$/);
    expect(readFileSync(join(taken, "notes.txt"), "utf8")).toBe("mine");
    expect((await merge("--model", base, "--adapter", plain, "--out", taken, "--force")).code).toBe(0);
    expect(existsSync(join(taken, "notes.txt"))).toBe(false);
    expect(existsSync(join(taken, "config.json"))).toBe(true);
  });

  test("a failure leaves nothing behind", async () => {
    const big = await changedModel(base, join(folder, "big"), {
      weight: (name, values) => {
        if (name === "model.norm.weight") values[7] = 70_000;
      },
    });
    const place = join(folder, "empty");
    writeFiles(place, {});
    expect(
      await failure(
        1,
        "merge",
        "--model",
        big,
        "--adapter",
        plain,
        "--out",
        join(place, "x"),
        "--dtype",
        "f16",
        "--device",
        "cpu",
      ),
    ).toBe(
      "graft: modelTensors: model.norm.weight must fit in f16, got 70000 at place 7. Use bf16 or f32, which reach further.",
    );
    expect(readdirSync(place)).toEqual([]);
    expect(
      (await merge("--model", big, "--adapter", plain, "--out", join(place, "x"), "--dtype", "bf16")).code,
    ).toBe(0);
  });

  test("an adapter that is missing, refused or made for another model", async () => {
    const merging = (adapter: string, model = base) =>
      failure(1, "merge", "--model", model, "--adapter", adapter, "--out", out("never"), "--device", "cpu");
    expect(await merging(join(folder, "none"))).toMatch(
      /^graft: adapter: ".*none" must be a PEFT folder with adapter_config\.json, got nothing of that name\. Check the path\.$/,
    );
    expect(await merging(base)).toMatch(
      /^graft: adapter: the folder must have adapter_config\.json, found none\./,
    );
    expect(await merging(golden("adapters/refuse/use_dora"))).toMatch(/use_dora is not supported/);
    expect(await merging(plain, golden("models/llama-odd"))).toMatch(/does not fit this model/);
    const noWeights = join(folder, "no-weights");
    cpSync(plain, noWeights, { recursive: true });
    writeFileSync(join(noWeights, "adapter_model.safetensors"), "");
    expect(await merging(noWeights)).toMatch(
      /adapter_model\.safetensors: the file must be at least 8 bytes long/,
    );
    expect(existsSync(out("never"))).toBe(false);
  });
});
