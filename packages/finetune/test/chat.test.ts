import { describe, expect, test } from "vitest";
import { createChatTemplate, type Message } from "../src/chat.ts";
import { createTokenizer } from "../src/tokenizer/tokenizer.ts";
import { CHATML, smallTokenizer, tokenizerJson } from "./support.ts";

const turns: Message[] = [
  { role: "user", content: "hi {{ there }}" },
  { role: "assistant", content: "the über" },
  { role: "user", content: "again" },
  { role: "assistant", content: "in" },
];

/** The text of what is learned, turn by turn. */
function learnedText(chatTemplate: string | undefined, messages: Message[], json: object = {}): string[] {
  const tokenizer = smallTokenizer({ chatTemplate, json });
  const { inputIds, learned } = createChatTemplate(tokenizer).tokenize(messages);
  const parts: number[][] = [];
  inputIds.forEach((id, i) => {
    if (learned[i] && !learned[i - 1]) parts.push([]);
    if (learned[i]) parts.at(-1)?.push(id);
  });
  return parts.map((ids) => tokenizer.decode(ids));
}

describe("chat template", () => {
  test("renders as it says, with and without the beginning of an answer", () => {
    const chat = createChatTemplate(smallTokenizer());
    expect(chat.render(turns.slice(0, 1), { addGenerationPrompt: true })).toBe(
      "<|im_start|>user\nhi {{ there }}<|im_end|>\n<|im_start|>assistant\n",
    );
  });

  test("the assistant's content and the token that ends the turn are learned", () => {
    expect(learnedText(CHATML, turns)).toEqual(["the über<|im_end|>", "in<|im_end|>"]);
  });

  test("the tokens are those of the whole text", () => {
    const tokenizer = smallTokenizer();
    const chat = createChatTemplate(tokenizer);
    expect(chat.tokenize(turns).inputIds).toEqual(tokenizer.encode(chat.render(turns)));
  });

  test("an assistant may begin, a system turn may come by itself, content may be trimmed", () => {
    const smol = `{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe kind<|im_end|>\n' }}{% endif %}${CHATML}`;
    expect(learnedText(smol, [turns[1], turns[0], turns[3]])).toEqual(["the über<|im_end|>", "in<|im_end|>"]);
    const trimming = CHATML.replace("message['content']", "message['content'] | trim");
    expect(learnedText(trimming, [{ role: "assistant", content: "  in \n" }])).toEqual(["in<|im_end|>"]);
  });

  test("an empty answer is its end alone", () => {
    expect(learnedText(CHATML, [{ role: "assistant", content: "" }])).toEqual(["<|im_end|>"]);
  });

  test("without a special token at the end, the next token ends the turn", () => {
    expect(
      learnedText("{% for m in messages %}{{ m.role + ': ' + m.content + '\n\n' }}{% endfor %}", turns),
    ).toEqual([" the über\n", "in\n\n"]);
  });

  test("a tokenizer that normalizes keeps the places", () => {
    const messages = [{ role: "user", content: "u\u0308 e\u0301" }, turns[1]];
    expect(learnedText(CHATML, messages, { normalizer: { type: "NFC" } })).toEqual(["the über<|im_end|>"]);
  });

  test("a tokenizer without bytes keeps the places", () => {
    const words = ["user", "assistant", ":", "hi", "the", "in", "<e>"];
    const json = {
      ...tokenizerJson(),
      added_tokens: [{ id: 6, content: "<e>", special: true, normalized: false }],
      pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "never", split: false },
      decoder: {
        type: "Sequence",
        decoders: [{ type: "Replace", pattern: { String: "▁" }, content: " " }, { type: "Fuse" }],
      },
      model: {
        type: "Unigram",
        unk_id: 7,
        vocab: [...words, "?", "▁", "h", "i"].map((word, i) => [word, -i]),
      },
    };
    const tokenizer = createTokenizer({
      where: "it",
      json,
      config: { eos_token: "<e>" },
      chatTemplate: "{% for m in messages %}{{ m.role + ': ' + m.content + '<e>' }}{% endfor %}",
    });
    const { inputIds, learned } = createChatTemplate(tokenizer).tokenize([
      { role: "user", content: "hi" },
      { role: "assistant", content: "the in" },
    ]);
    expect(tokenizer.decode(inputIds.filter((_, i) => learned[i]))).toBe("the in<e>");
  });

  test("no template, a broken one, one that refuses and one that rewrites are refused", () => {
    const none = createTokenizer({ where: "it", json: tokenizerJson(), config: {} });
    expect(() => createChatTemplate(none)).toThrow(
      "chat: the model must have a chat template (chat_template in tokenizer_config.json), got none. Use a chat model, or prompt/completion rows and no --chat.",
    );
    expect(() => createChatTemplate(smallTokenizer({ chatTemplate: "{% for %}" }))).toThrow(
      /^chat: the model's chat template must be valid Jinja, got one that is not \(/,
    );
    expect(() => learnedText("{{ raise_exception('roles must alternate') }}", turns)).toThrow(
      'chat: the model\'s chat template refuses these messages ("roles must alternate"). Check their roles and order.',
    );
    expect(() =>
      learnedText(CHATML.replace("message['content']", "message['content'] | upper"), turns),
    ).toThrow(
      "chat: the model's chat template must write the assistant's turns as they are, got one that rewrites them or earlier turns, so that the loss has no place. Give prompt/completion rows instead.",
    );
  });
});
