import fc from "fast-check";
import { Tokenizer as RustTokenizer } from "tokenizers";
import { describe, expect, test } from "vitest";
import { GPT2_PATTERN, splitIsolated } from "../src/tokenizer/preTokenizer.ts";
import { createTextStream } from "../src/tokenizer/stream.ts";
import { createTokenizer } from "../src/tokenizer/tokenizer.ts";
import { alphabet, byteCharacters, smallTokenizer, tokenizerJson } from "./support.ts";

const text = fc
  .array(fc.constantFrom(...alphabet, "<|im_end|>"), { maxLength: 60 })
  .map((parts) => parts.join(""));

describe("tokenizer", () => {
  const preTokenizers = {
    smollm: undefined,
    gpt2: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    digits: {
      type: "Sequence",
      pretokenizers: [
        { type: "Digits", individual_digits: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    qwen2: {
      type: "Sequence",
      pretokenizers: [
        splitIsolated(
          "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
        ),
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    split: {
      type: "Sequence",
      pretokenizers: [
        splitIsolated(GPT2_PATTERN),
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
  };

  test.each(Object.entries(preTokenizers))(
    "%s: gives the ids of the Rust library",
    async (_, preTokenizer) => {
      const json = tokenizerJson(preTokenizer === undefined ? {} : { pre_tokenizer: preTokenizer });
      const rust = RustTokenizer.fromString(JSON.stringify(json));
      const ours = createTokenizer({ where: "it", json, config: {} });
      await fc.assert(
        fc.asyncProperty(text, async (sample) => {
          const ids = (await rust.encode(sample, null, { addSpecialTokens: false })).getIds();
          expect(ours.encode(sample)).toEqual(ids);
          expect(ours.decode(ids)).toBe(await rust.decode(ids, false));
        }),
        { numRuns: 300 },
      );
    },
  );

  test("decoding gives the text back", () => {
    const tokenizer = smallTokenizer();
    fc.assert(fc.property(text, (sample) => tokenizer.decode(tokenizer.encode(sample)) === sample));
  });

  test("special tokens: roles, ids, and leaving them out", () => {
    const tokenizer = smallTokenizer();
    expect(tokenizer).toMatchObject({
      eosTokenId: 2,
      eosTokenIds: [2],
      bosTokenId: 1,
      vocabSize: 266,
      byteLevel: true,
    });
    const ids = tokenizer.encode("<|im_start|>hi<|im_end|>");
    expect(ids).toEqual([1, ...tokenizer.encode("hi"), 2]);
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe("hi");
  });

  test("a token in front only where the tokenizer itself puts it", () => {
    expect(smallTokenizer().encode("hi", { addSpecialTokens: true })).toEqual(smallTokenizer().encode("hi"));
    const single = [
      { SpecialToken: { id: "<|im_start|>", type_id: 0 } },
      { Sequence: { id: "A", type_id: 0 } },
    ];
    const withBos = smallTokenizer({
      json: { post_processor: { type: "TemplateProcessing", single, pair: [], special_tokens: {} } },
    });
    expect(withBos.encode("hi", { addSpecialTokens: true })[0]).toBe(1);
    expect(withBos.encode("hi")[0]).not.toBe(1);
    expect(
      smallTokenizer({ config: { add_bos_token: true } }).encode("hi", { addSpecialTokens: true })[0],
    ).toBe(1);
  });

  test("tokens of tokenizer_config.json alone are added", () => {
    const config = {
      eos_token: { content: "<end>" },
      added_tokens_decoder: { "266": { content: "<end>", special: true } },
    };
    const tokenizer = smallTokenizer({ config });
    expect(tokenizer.encode("a<end>")).toEqual([...tokenizer.encode("a"), 266]);
    expect(tokenizer).toMatchObject({ eosTokenId: 266, vocabSize: 267 });
  });

  test.each([
    [[], "the file must hold an object, got a list"],
    [{}, '"model" must be an object, got nothing'],
    [
      tokenizerJson({ model: { type: "BPE", vocab: {}, merges: [] } }),
      '"model.vocab" must hold tokens, got an empty one',
    ],
    [
      tokenizerJson({ model: { type: "BPE", vocab: { a: -1 }, merges: [] } }),
      'the id of token "a" must be a whole number from 0, got the number -1',
    ],
    [
      tokenizerJson({ model: { type: "BPE", vocab: { a: 0 } } }),
      '"model.merges" must be a list, got nothing',
    ],
    [
      tokenizerJson({ model: { type: "BPE", vocab: { a: 0 }, merges: ["ab"] } }),
      "merge 0 must be two tokens, got a string",
    ],
    [
      tokenizerJson({ added_tokens: [{ id: "x" }] }),
      "the id of added token 0 must be a whole number from 0, got a string",
    ],
    [
      tokenizerJson({ pre_tokenizer: { type: "Nonsense" } }),
      /^tokenizer "t\.json": the file does not describe a tokenizer that can be used \(.*Nonsense.*\)\. Copy tokenizer\.json again/,
    ],
  ])("a broken file %# is one clear error", (json, message) => {
    const load = () => createTokenizer({ where: '"t.json"', json, config: {} });
    expect(load).toThrow(
      typeof message === "string"
        ? `tokenizer "t.json": ${message}. Copy tokenizer.json again from where the model came from.`
        : message,
    );
  });

  test("an id that is no token is refused", () => {
    expect(() => smallTokenizer().decode([5, 999])).toThrow(
      'tokenizer "tokenizer.json": a token id must be one of its 266, got 999. Does this tokenizer belong to the model?',
    );
  });
});

describe("text stream", () => {
  test("gives out whole characters only, and in the end the whole text", () => {
    const tokenizer = smallTokenizer();
    fc.assert(
      fc.property(text, (sample) => {
        const stream = createTextStream(tokenizer);
        const parts = tokenizer.encode(sample).map((id) => stream.push(id));
        expect(parts.join("")).not.toContain("\uFFFD");
        expect(parts.join("") + stream.end()).toBe(sample.replaceAll("<|im_end|>", ""));
      }),
    );
  });

  test("bytes that never become a character show in the end", () => {
    const tokenizer = smallTokenizer();
    const half = tokenizer.tokenToId(byteCharacters[0xc3]);
    if (half === undefined) throw new Error("no such token");
    const stream = createTextStream(tokenizer);
    expect(stream.push(half)).toBe("");
    expect(stream.end()).toBe("\uFFFD");
  });
});
