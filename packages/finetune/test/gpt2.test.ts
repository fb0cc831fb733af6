// GPT-2 through the command: what transformers, PEFT and torch say of it, and what is not there yet.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fromArray, noGrad, openCpu, scope } from "@graft/tensor";
import { describe, expect, test } from "vitest";
import { generate } from "../src/generate.ts";
import { openModel } from "../src/model/open.ts";
import { argmax, createSampler } from "../src/sampling.ts";
import { failure, golden, graft, jsonl, readTensors, temporaryFolder } from "./graft.ts";

const folder = temporaryFolder();
const base = golden("gpt2_adapters/base");
const data = golden("gpt2_adapters/train.jsonl");
const cpu = ["--device", "cpu", "--json"];

test("finetune repeats PEFT and torch step by step, and writes what PEFT reads", async () => {
  const { trajectory } = JSON.parse(readFileSync(golden("gpt2_adapters/run.json"), "utf8"));
  const out = join(folder, "adapter");
  const ended = await graft(
    ...["finetune", "--model", base, "--data", data, ...cpu],
    ...["--adapter", golden("gpt2_adapters/start"), "--out", out, "--no-shuffle"],
    ...["--steps", "20", "--batch-size", "2", "--learning-rate", "5e-3", "--schedule", "linear"],
    ...["--warmup-steps", "3", "--weight-decay", "0.01", "--max-grad-norm", "1"],
  );
  expect(ended.code, ended.err).toBe(0);
  const steps = ended.lines.filter(({ event }) => event === "step");
  expect(steps).toHaveLength(20);
  for (const [i, expected] of trajectory.entries())
    for (const key of ["loss", "gradNorm", "learningRate"])
      expect(Math.abs(Number(steps[i][key]) - expected[key])).toBeLessThanOrEqual(1e-4 * expected[key]);
  const config = JSON.parse(readFileSync(join(out, "adapter_config.json"), "utf8"));
  expect(config.fan_in_fan_out).toBe(true);
});

test("merge writes a folder that is a GPT-2 again, with PEFT's weights", async () => {
  const out = join(folder, "merged");
  const adapter = golden("gpt2_adapters/all-linear");
  const merged = await graft("merge", "--model", base, "--adapter", adapter, "--out", out, ...cpu);
  expect(merged.code, merged.err).toBe(0);
  const weights = await readTensors(join(out, "model.safetensors"));
  const expected = await readTensors(golden("gpt2_adapters/all-linear.expect.safetensors"));
  let compared = 0;
  for (const [key, { values }] of expected) {
    if (!key.startsWith("merged.")) continue;
    compared++;
    const got = weights.get(key.slice("merged.".length));
    values.forEach((value, i) => {
      expect(Math.abs(value - (got?.values[i] ?? Number.NaN))).toBeLessThan(1e-6);
    });
  }
  expect(compared).toBe(8);
  const evaluate = async (...words: string[]) =>
    (await graft("eval", "--data", data, ...words, ...cpu)).lines[0];
  const adapted = await evaluate("--model", base, "--adapter", adapter);
  expect(Number((await evaluate("--model", out)).loss)).toBeCloseTo(Number(adapted.loss), 5);
});

describe("generation", () => {
  const device = openCpu();

  test("with a cache is the text that the whole model gives, up to the last position", async () => {
    await using opened = await openModel(golden("models/gpt2-odd"));
    const model = await opened.load(device);
    // 11 positions: a prompt of 5 is filled up to 16 where there is room, and here there is none.
    const ids = [3, 17, 29, 5, 8];
    const { tokens } = await generate(model, ids, {
      maxNewTokens: 6,
      sampler: createSampler(),
      eosTokenIds: [],
    });
    const all = [...ids];
    for (const token of tokens) {
      const logits = noGrad(() =>
        scope(() => model.forward(fromArray(device, all, [1, all.length], { dtype: "i32" }))),
      );
      const values = Float32Array.from(await logits.toArray());
      expect(argmax(values.slice(-model.config.vocabSize))).toBe(token);
      all.push(token);
    }
    expect(all).toHaveLength(11);
    await expect(
      generate(model, all, { maxNewTokens: 2, sampler: createSampler(), eosTokenIds: [] }),
    ).rejects.toThrow("GPT2Model: a text must have at most 11 tokens, the positions that this model learned");
    model.dispose();
  });
});

test("a text that is longer than the learned positions is refused by name", async () => {
  const rows = jsonl(join(folder, "long.jsonl"), [{ input_ids: new Array(12).fill(3) }]);
  const words = ["eval", "--model", golden("models/gpt2-odd"), "--data", rows, "--device", "cpu"];
  expect(await failure(1, ...words)).toMatch(
    /a text must have at most 11 tokens, the positions that this model learned, got 12\. Cut it\./,
  );
});

test("its layers are packed as they are read or as a folder, with the same loss, and train", async () => {
  const packed = join(folder, "packed");
  const ended = await graft("quantize", "--model", base, "--scheme", "nf4", "--out", packed);
  expect(ended.code, ended.err).toBe(0);
  const losses: number[] = [];
  for (const model of [
    ["--model", packed],
    ["--model", base, "--quantize", "nf4"],
    ["--model", base],
  ]) {
    const words = [...model, "--data", data, "--steps", "1", "--no-shuffle", ...cpu];
    const trained = await graft("finetune", ...words, "--out", join(folder, `qlora-${losses.length}`));
    expect(trained.code, trained.err).toBe(0);
    losses.push(Number(trained.lines.at(-1)?.loss));
  }
  expect(Math.abs(losses[0] / losses[1] - 1)).toBeLessThan(2e-6);
  expect(Math.abs(losses[2] / losses[1] - 1)).toBeGreaterThan(1e-4);
});

test("by default an adapter goes on c_attn, as in PEFT", async () => {
  const out = join(folder, "default");
  const words = ["--model", base, "--data", data, "--steps", "1", "--out", out, ...cpu];
  const ended = await graft("finetune", ...words);
  expect(ended.code, ended.err).toBe(0);
  const config = JSON.parse(readFileSync(join(out, "adapter_config.json"), "utf8"));
  expect(config).toMatchObject({ target_modules: ["c_attn"], r: 8, lora_alpha: 16, fan_in_fan_out: true });
});
