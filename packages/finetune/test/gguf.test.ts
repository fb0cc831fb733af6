import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { openGguf } from "@graft/nn/checkpoint";
import { fileSource } from "@graft/nn/node";
// @ts-expect-error the declarations of the package leave it out under Node's module resolution
import { SequencePreTokenizer } from "@huggingface/tokenizers";
import fc from "fast-check";
import { Tokenizer as RustTokenizer } from "tokenizers";
import { describe, expect, test } from "vitest";
import { createChatTemplate } from "../src/chat.ts";
import { ggufPreTokenizer, tokenizerFromGguf } from "../src/tokenizer/gguf.ts";
import { alphabet, CHATML, merges, tokenizerJson, vocab } from "./support.ts";

const golden = new URL("../../../tools/golden/data/", import.meta.url);
const smollm2 = new URL("../../../../shared/models/SmolLM2-135M-Instruct.Q4_1.gguf", import.meta.url);
const json = (name: string) => JSON.parse(readFileSync(new URL(name, golden), "utf8"));

async function load(url: URL) {
  const source = await fileSource(fileURLToPath(url));
  const file = await openGguf(source);
  await source.close?.();
  return tokenizerFromGguf(file.metadata, '"model.gguf"');
}

/** Metadata of the small tokenizer. */
function metadata(changes: Record<string, unknown> = {}) {
  return new Map<string, unknown>(
    Object.entries({
      "tokenizer.ggml.model": "gpt2",
      "tokenizer.ggml.pre": "smollm",
      "tokenizer.ggml.tokens": Object.keys(vocab).sort((a, b) => vocab[a] - vocab[b]),
      "tokenizer.ggml.token_type": Int32Array.from(Object.keys(vocab), (_, id) => (id < 3 ? 3 : 1)),
      "tokenizer.ggml.merges": merges.map((pair) => pair.join(" ")),
      "tokenizer.ggml.bos_token_id": 1,
      "tokenizer.ggml.eos_token_id": 2,
      "tokenizer.chat_template": CHATML,
      ...changes,
    }).filter(([, value]) => value !== undefined),
  );
}

describe("GGUF tokenizers", () => {
  test("pieces are those of the models' own pre-tokenizers", () => {
    const { texts, pieces } = json("gguf_models/pre_tokenization.json");
    for (const [pre, expected] of Object.entries(pieces)) {
      const cut = new SequencePreTokenizer(ggufPreTokenizer(pre));
      expect([pre, texts.map((text: string) => cut.pre_tokenize_text(text, {}))]).toEqual([pre, expected]);
    }
  });

  test("default cuts at punctuation and after three digits, as llama.cpp does", () => {
    const cut = new SequencePreTokenizer(ggufPreTokenizer("default"));
    expect(cut.pre_tokenize_text("It's 12345, (yes)", {})).toEqual([
      "It",
      "'",
      "s",
      "Ġ",
      "123",
      "45",
      ",",
      "Ġ",
      "(",
      "yes",
      ")",
    ]);
  });

  test.each(["llama", "qwen2"])("%s.gguf: the ids and the chat of transformers", async (name) => {
    const expected = json(`gguf_models/${name}.json`);
    const tokenizer = await load(new URL(`gguf_models/${name}.gguf`, golden));
    for (const { text, ids } of expected.tokenization)
      expect([text, tokenizer.encode(text)]).toEqual([text, ids]);
    const chat = createChatTemplate(tokenizer);
    expect(chat.render(expected.chat.messages)).toBe(expected.chat.text);
    expect(chat.render(expected.chat.messages.slice(0, -1), { addGenerationPrompt: true })).toBe(
      expected.chat.prompt,
    );
  });

  test.skipIf(!existsSync(smollm2))("SmolLM2: the ids of transformers, no token in front", async () => {
    const tokenizer = await load(smollm2);
    expect(tokenizer).toMatchObject({ vocabSize: 49152, eosTokenId: 2, eosTokenIds: [2], bosTokenId: 1 });
    for (const { text, ids } of json("smollm2.json").prompts)
      expect(tokenizer.encode(text, { addSpecialTokens: true })).toEqual(ids);
  });

  test("smollm is the tokenizer.json of the model", async () => {
    const ours = tokenizerFromGguf(metadata(), '"m.gguf"');
    const rust = RustTokenizer.fromString(JSON.stringify(tokenizerJson()));
    const text = fc
      .array(fc.constantFrom(...alphabet, "<|im_end|>"), { maxLength: 40 })
      .map((parts) => parts.join(""));
    await fc.assert(
      fc.asyncProperty(text, async (sample) => {
        expect(ours.encode(sample)).toEqual((await rust.encode(sample)).getIds());
      }),
    );
  });

  test("the first token stands in front where the file says so, or the family does", () => {
    const first = (changes: Record<string, unknown>) =>
      tokenizerFromGguf(metadata(changes), '"m.gguf"').encode("a", { addSpecialTokens: true })[0] === 1;
    expect(first({})).toBe(false);
    expect(first({ "tokenizer.ggml.add_bos_token": true })).toBe(true);
    expect(first({ "tokenizer.ggml.pre": "llama-bpe" })).toBe(true);
    expect(first({ "tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.add_bos_token": false })).toBe(false);
  });

  test.each([
    [
      { "tokenizer.ggml.model": "llama" },
      '"tokenizer.ggml.model" must be gpt2 (byte-level BPE), got "llama". Give the model\'s own file with --tokenizer tokenizer.json.',
    ],
    [
      { "tokenizer.ggml.pre": "tekken" },
      '"tokenizer.ggml.pre" must be one of smollm, gpt-2, qwen2, llama-bpe, default, got "tekken". Give the model\'s own file with --tokenizer tokenizer.json.',
    ],
    [
      { "tokenizer.ggml.tokens": undefined },
      '"tokenizer.ggml.tokens" must be a list of texts, got nothing. Give the model\'s own file with --tokenizer tokenizer.json.',
    ],
    [
      { "tokenizer.ggml.tokens": ["a", "b", "a"], "tokenizer.ggml.token_type": undefined },
      'every token must be there once, got "a" at 0 and 2. The file is damaged; download it again.',
    ],
    [
      { "tokenizer.ggml.token_type": Int32Array.of(1) },
      '"tokenizer.ggml.token_type" must have one entry per token (266), got 1. The file is damaged; download it again.',
    ],
    [
      { "tokenizer.ggml.eos_token_id": 266 },
      '"tokenizer.ggml.eos_token_id" must be one of its 266 tokens, got the number 266. The file is damaged; download it again.',
    ],
    [
      { "tokenizer.ggml.merges": ["ab"] },
      'a merge must be two tokens with a space between, got "ab". The file is damaged; download it again.',
    ],
  ])("what is not read is refused by name %#", (changes, message) => {
    expect(() => tokenizerFromGguf(metadata(changes), '"m.gguf"')).toThrow(
      `tokenizer of "m.gguf": ${message}`,
    );
  });
});
