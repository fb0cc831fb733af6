import { join } from "node:path";
import { fromArray, noGrad, openCpu, scope } from "@graft/tensor";
import { describe, expect, test } from "vitest";
import { generate } from "../src/generate.ts";
import { openModel } from "../src/model/open.ts";
import { argmax, createSampler } from "../src/sampling.ts";
import { changedModel, failure, golden, graft, temporaryFolder } from "./graft.ts";

const folder = temporaryFolder();
const model = golden("gguf_models/llama.gguf");
const device = openCpu();

async function load(path: string) {
  await using opened = await openModel(path);
  return await opened.load(device); // before it is closed
}

describe("generate", () => {
  test.each(["gguf_models/llama.gguf", "gguf_models/qwen2.gguf", "models/mistral"])(
    "the cache changes nothing: %s",
    async (name) => {
      const llama = await load(golden(name));
      const ids = [3, 17, 29, 5];
      const { tokens, finish } = await generate(llama, ids, {
        maxNewTokens: 12,
        sampler: createSampler(),
        eosTokenIds: [],
      });
      expect(finish).toBe("length");
      const all = [...ids];
      for (const token of tokens) {
        const logits = noGrad(() =>
          scope(() => llama.forward(fromArray(device, all, [1, all.length], { dtype: "i32" }))),
        );
        const values = Float32Array.from(await logits.toArray());
        expect(argmax(values.slice(-llama.config.vocabSize))).toBe(token);
        all.push(token);
      }
    },
  );

  test("a long prompt goes through in parts", async () => {
    const llama = await load(model);
    const ids = Array.from({ length: 600 }, (_, i) => (i * 7) % 290);
    const logits = noGrad(() =>
      scope(() => llama.forward(fromArray(device, ids, [1, ids.length], { dtype: "i32" }))),
    );
    const values = Float32Array.from(await logits.toArray());
    const seen: Float32Array[] = [];
    await generate(llama, ids, {
      maxNewTokens: 1,
      sampler: (last) => {
        seen.push(last);
        return 0;
      },
      eosTokenIds: [],
    });
    const whole = values.slice(-300);
    seen[0].forEach((value, i) => {
      expect(Math.abs(value - whole[i])).toBeLessThan(1e-4);
    });
  });

  test("memory does not grow with the tokens", async () => {
    const llama = await load(model);
    const live: number[] = [];
    await generate(llama, [1, 2, 3], {
      maxNewTokens: 8,
      sampler: createSampler(),
      eosTokenIds: [],
      onToken: () => live.push(device.memory().liveBuffers),
    });
    expect(new Set(live).size).toBe(1);
    const before = device.memory().liveBytes;
    await generate(llama, [1, 2, 3], { maxNewTokens: 8, sampler: createSampler(), eosTokenIds: [] });
    expect(device.memory().liveBytes).toBe(before);
  });

  test("text as it comes and JSON say the same", async () => {
    const words = [
      "generate",
      "--model",
      model,
      "--prompt",
      "The baker",
      "--max-new-tokens",
      "9",
      "--device",
      "cpu",
    ];
    const text = await graft(...words);
    const json = await graft(...words, "--json");
    expect(json).toMatchObject({ code: 0, err: "" });
    expect(json.lines).toHaveLength(1);
    expect(json.lines[0].tokens).toHaveLength(9);
    expect(json.lines[0].finish).toBe("length");
    expect(text.out).toBe(`${json.lines[0].text}\n`);
  });

  test("the token that ends the text is left out", async () => {
    const llama = await load(model);
    const options = { maxNewTokens: 6, sampler: createSampler(), eosTokenIds: [] as number[] };
    const { tokens } = await generate(llama, [4, 5], options);
    const at = tokens.findIndex((token, i) => i > 0 && !tokens.slice(0, i).includes(token));
    const stopped = await generate(llama, [4, 5], { ...options, eosTokenIds: [tokens[at]] });
    expect(stopped).toEqual({ tokens: tokens.slice(0, at), finish: "stop" });
  });

  test("a seed fixes the draw, another seed changes it", async () => {
    const draw = async (seed: string) => {
      const { lines } = await graft(
        "generate",
        "--model",
        model,
        "--prompt",
        "x",
        "--max-new-tokens",
        "12",
        "--temperature",
        "1.5",
        "--top-k",
        "50",
        "--top-p",
        "0.95",
        "--seed",
        seed,
        "--device",
        "cpu",
        "--json",
      );
      return lines[0].tokens;
    };
    expect(await draw("1")).toEqual(await draw("1"));
    expect(await draw("1")).not.toEqual(await draw("2"));
  });

  test("--chat puts the prompt through the template", async () => {
    const ended = await graft(
      "generate",
      "--model",
      model,
      "--prompt",
      "Why 12?",
      "--chat",
      "--max-new-tokens",
      "3",
      "--device",
      "cpu",
      "--json",
    );
    expect(ended).toMatchObject({ code: 0, lines: [{ finish: "length" }] });
  });

  test("says when the text grows past the model's positions", async () => {
    const ended = await graft(
      "generate",
      "--model",
      model,
      "--prompt",
      "The baker",
      "--max-new-tokens",
      "124",
      "--device",
      "cpu",
      "--json",
    );
    expect(ended.code).toBe(0);
    expect(ended.err).toBe(
      "The prompt (5 tokens) and 124 new tokens pass the 128 positions the model was made for; what lies beyond may be poor.\n",
    );
  });

  test("an empty prompt, no chat template and broken logits are failures", async () => {
    expect(await failure(1, "generate", "--model", model, "--prompt", "", "--device", "cpu")).toBe(
      "graft: generate: --prompt must give at least one token, got an empty text. Write some text.",
    );
    const merged = join(folder, "plain");
    const folderModel = await changedModel(golden("models/llama"), merged, {});
    expect(await failure(1, "generate", "--model", folderModel, "--prompt", "x", "--device", "cpu")).toMatch(
      /^graft: tokenizer ".*plain": the folder must hold tokenizer\.json, got none\. /,
    );
    const tokenizer = golden("gguf_models/llama.tokenizer.json");
    const words = ["generate", "--model", folderModel, "--tokenizer", tokenizer, "--device", "cpu", "--json"];
    expect(await failure(1, ...words, "--prompt", "The baker")).toBe(
      "graft: generate: the prompt: every token must be from 0 to 95, the model's vocabulary, got 272 for token 0. Does the tokenizer belong to the model?",
    );
    expect(await failure(1, ...words, "--prompt", "a", "--chat")).toMatch(
      /^graft: chat: the model must have a chat template/,
    );
    const broken = await changedModel(golden("models/llama"), join(folder, "nan"), {
      weight: (name, values) => {
        if (name === "model.norm.weight") values[3] = Number.NaN;
      },
    });
    expect(
      await failure(
        1,
        "generate",
        "--model",
        broken,
        "--tokenizer",
        tokenizer,
        "--prompt",
        "AB",
        "--device",
        "cpu",
        "--json",
      ),
    ).toMatch(
      /^graft: generate: the model's logits must be finite, got none or a not-a-number at token \d+\. /,
    );
  });
});
