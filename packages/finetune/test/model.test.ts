import { cpSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openModel } from "../src/model/open.ts";
import { changedModel, failure, golden, graft, temporaryFolder, writeFiles } from "./graft.ts";

const folder = temporaryFolder();
const llama = golden("models/llama");
const message = (path: string) =>
  failure(1, "eval", "--model", path, "--data", join(folder, "none.jsonl"), "--device", "cpu", "--json");
const at = (name: string) => join(folder, name);

describe("a model that cannot be opened", () => {
  test("says what is there instead", async () => {
    expect(await message(at("nowhere"))).toBe(
      `graft: model: ${JSON.stringify(at("nowhere"))} must be a Hugging Face folder or a .gguf file, got no file of that name. Check the path; models are not downloaded by this command.`,
    );
    expect(await message(join(llama, "config.json"))).toMatch(
      /got another file\. Give the folder that it is in\.$/,
    );
    expect(await message(golden("adapters/plain"))).toMatch(
      /must be a model, got an adapter\. Give its base with --model, and this folder with --adapter\.$/,
    );
    expect(await message(golden("gguf_models"))).toMatch(/give the file itself: ".*\.gguf"\.$/);
    expect(await message(writeFiles(at("empty"), {}))).toMatch(
      /must hold config\.json and \*\.safetensors, got no config\.json\. Give a Hugging Face model folder or a \.gguf file\.$/,
    );
    expect(await message(join(writeFiles(at("pickle"), { "x.bin": "PK" }), "x.bin"))).toMatch(
      /a pickle file/,
    );
  });

  test("names the file that is missing or broken", async () => {
    const bare = at("bare");
    cpSync(llama, bare, { recursive: true });
    rmSync(join(bare, "model.safetensors"));
    expect(await message(bare)).toMatch(
      /must have model\.safetensors or model\.safetensors\.index\.json, found neither/,
    );
    writeFileSync(join(bare, "pytorch_model.bin"), "PK");
    expect(await message(bare)).toMatch(/a pickle file, which can run code/);
    writeFileSync(join(bare, "config.json"), '{"model_type": "llama",');
    expect(await message(bare)).toMatch(
      /^graft: model: "config\.json" must be JSON, got something else \(.*\)\. Copy it again/,
    );
    writeFileSync(join(bare, "config.json"), "[1]");
    expect(await message(bare)).toMatch(/^graft: model: "config\.json" must hold an object, got a list\./);
    writeFileSync(join(bare, "config.json"), Uint8Array.of(0xff, 0xfe, 0x00));
    expect(await message(bare)).toMatch(/"config\.json" must be JSON/);
  });

  test("says what is not supported", async () => {
    const packed = await changedModel(llama, at("packed"), {
      config: { quantization_config: { quant_method: "gptq", bits: 4 } },
    });
    expect(await message(packed)).toBe(
      'graft: config: config.json: quantization_config: quant_method must be bitsandbytes, got "gptq". Use the unquantized model, or quantize that with graft quantize.',
    );
    const other = await changedModel(llama, at("other"), { config: { model_type: "mamba" } });
    expect(await message(other)).toMatch(
      /model_type must be one of llama, mistral, qwen2, gpt2, got "mamba"/,
    );
  });

  test("hostile files are refused", async () => {
    const cut = at("cut");
    cpSync(llama, cut, { recursive: true });
    const gguf = at("cut.gguf");
    for (const bytes of ["", "GGUF", "GGUF\x03\0\0\0", "x".repeat(100)]) {
      writeFileSync(gguf, bytes);
      expect(await message(gguf)).toMatch(/^graft: /);
      writeFileSync(join(cut, "model.safetensors"), bytes);
      expect(await message(cut)).toMatch(/^graft: openSafetensors: model\.safetensors: /);
    }
    const huge = await changedModel(llama, at("huge"), { config: { num_hidden_layers: 1e9 } });
    expect(await message(huge)).toMatch(/num_hidden_layers must be/);
    const large = await changedModel(llama, at("large"), { config: { hidden_size: 64 } });
    const data = writeFiles(at("data"), { "a.jsonl": '{"input_ids":[1,2]}\n' });
    expect(
      await failure(1, "eval", "--model", large, "--data", join(data, "a.jsonl"), "--device", "cpu"),
    ).toMatch(/does not fit its configuration: \d+ problems/);
  });
});

describe("an opened model", () => {
  test("a folder keeps its own configuration but for the dtype", async () => {
    await using opened = await openModel(golden("models/llama-bf16"));
    expect(opened).toMatchObject({ kind: "folder", baseDtype: "bf16", vocabSize: 96 });
    expect(opened.configJson("f32")).toMatchObject({
      dtype: "float32",
      initializer_range: 0.02,
      vocab_size: 96,
    });
    const old = await changedModel(llama, at("old"), {
      config: { torch_dtype: "float32", dtype: undefined },
    });
    await using older = await openModel(old);
    expect(older.configJson("f16")).toMatchObject({ torch_dtype: "float16" });
    expect(older.configJson("f16")).not.toHaveProperty("dtype");
  });

  test("a tokenizer that replaces the model's brings its files along", async () => {
    const own = writeFiles(at("own"), {
      "mine.json": "{}",
      "tokenizer_config.json": '{"eos_token":"<e>"}',
    });
    const model = at("with-tokenizer");
    cpSync(llama, model, { recursive: true });
    writeFiles(model, { "tokenizer.json": "old", "merges.txt": "old", "generation_config.json": "{}" });
    await using opened = await openModel(model, { tokenizer: join(own, "mine.json") });
    const files = new Map(
      [...(await opened.companionFiles())].map(([name, content]) => [name, String(content)]),
    );
    expect([...files.keys()].sort()).toEqual([
      "generation_config.json",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    await using gguf = await openModel(golden("gguf_models/qwen2.gguf"), {
      tokenizer: golden("gguf_models/qwen2.tokenizer.json"),
    });
    expect([...(await gguf.companionFiles()).keys()]).toEqual(["chat_template.jinja", "tokenizer.json"]);
    expect((await gguf.tokenizer()).chatTemplate).toBeDefined();
    expect(gguf.configJson("f16")).toMatchObject({ model_type: "qwen2", dtype: "float16", eos_token_id: 2 });
  });
});

describe("info", () => {
  const info = async (path: string) => {
    const ended = await graft("info", path, "--json");
    expect(ended).toMatchObject({ code: 0, err: "" });
    expect(ended.lines).toHaveLength(1);
    return ended.lines[0];
  };

  test.each([
    ["model", "models/llama", { model_type: "llama", vocab_size: 96 }],
    ["model", "models/sharded", { model_type: "llama" }],
    ["adapter", "adapters/plain", { r: 4, target_modules: ["q_proj", "v_proj"] }],
    ["safetensors", "models/llama/model.safetensors", {}],
    ["gguf", "gguf_models/llama.gguf", { "general.architecture": "llama" }],
  ])("%s: %s", async (kind, path, config) => {
    const found = await info(golden(path));
    expect(found).toMatchObject({ kind, config });
    const tensors = found.tensors as { name: string; dtype: string; shape: number[] }[];
    expect(tensors.length).toBeGreaterThan(0);
    const sizes = tensors.map(({ shape }) => shape.reduce((product, size) => product * size, 1));
    expect(found.parameters).toBe(sizes.reduce((sum, size) => sum + size, 0));
    const text = await graft("info", golden(path));
    expect(text.out).toContain(`tensors (${tensors.length})`);
    expect(text.out).toContain(tensors[0].name);
  });

  test("control characters of a file do not reach the terminal", async () => {
    const strange = await changedModel(llama, at("strange"), {
      config: { "\u001b[31m": "a\u001b]0;x\u0007\nb" },
    });
    const { out } = await graft("info", strange);
    expect(out).toContain("\\u001b[31m");
    expect(out).not.toMatch(/[^\n\P{Cc}]/u);
  });

  test("refuses what it cannot read", async () => {
    expect(await failure(1, "info", at("nowhere"), "--json")).toMatch(
      /got nothing of that name\. Check the path\.$/,
    );
    expect(await failure(1, "info", folder, "--json")).toMatch(
      /got neither\. Give the folder itself, or a file of weights\.$/,
    );
    expect(await failure(1, "info", join(writeFiles(at("t"), { "a.txt": "x" }), "a.txt"))).toMatch(
      /got another file\./,
    );
  });
});
