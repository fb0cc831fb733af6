import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { loadTokenizer } from "../src/tokenizer/folder.ts";
import { CHATML, tokenizerJson } from "./support.ts";

const made: string[] = [];
afterAll(() => {
  for (const folder of made) rmSync(folder, { recursive: true });
});

function folderOf(files: Record<string, unknown>): string {
  const folder = mkdtempSync(join(tmpdir(), "graft-tokenizer-"));
  made.push(folder);
  for (const [name, content] of Object.entries(files))
    writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
  return folder;
}

describe("tokenizer of a folder", () => {
  test("everything that stands beside tokenizer.json is read", async () => {
    const folder = folderOf({
      "tokenizer.json": tokenizerJson(),
      "special_tokens_map.json": { bos_token: { content: "<|im_start|>" }, eos_token: "<|endoftext|>" },
      "tokenizer_config.json": { eos_token: "<|im_end|>", chat_template: "old" },
      "chat_template.jinja": CHATML,
      "generation_config.json": { eos_token_id: [2, 0] },
      "config.json": { eos_token_id: 2 },
    });
    expect(await loadTokenizer(folder)).toMatchObject({
      eosTokenId: 2,
      eosTokenIds: [2, 0],
      bosTokenId: 1,
      chatTemplate: CHATML,
    });
    expect((await loadTokenizer(join(folder, "tokenizer.json"))).eosTokenId).toBe(2);
  });

  test("a template may stand in the configuration, alone or in a list; ends may come from elsewhere", async () => {
    const named = [
      { name: "tools", template: "x" },
      { name: "default", template: CHATML },
    ];
    const folder = folderOf({
      "tokenizer.json": tokenizerJson(),
      "tokenizer_config.json": { chat_template: named },
    });
    expect(await loadTokenizer(folder, { eosTokenIds: [0], chatTemplate: "y" })).toMatchObject({
      eosTokenId: 0,
      eosTokenIds: [0],
      chatTemplate: CHATML,
    });
  });

  test("no tokenizer.json and broken files are refused", async () => {
    const empty = folderOf({});
    await expect(loadTokenizer(empty)).rejects.toThrow(
      `tokenizer ${JSON.stringify(empty)}: the folder must hold tokenizer.json, got none. Only the fast form (tokenizer.json) is read; save it with AutoTokenizer.save_pretrained, or give --tokenizer FILE.`,
    );
    await expect(loadTokenizer(join(empty, "t.json"))).rejects.toThrow(
      /there must be a file of that name, got none\. Check the path\.$/,
    );
    await expect(loadTokenizer(folderOf({ "tokenizer.json": "{" }))).rejects.toThrow(
      /^tokenizer: "tokenizer\.json" must be JSON, got text that is not \(/,
    );
    await expect(
      loadTokenizer(folderOf({ "tokenizer.json": tokenizerJson(), "tokenizer_config.json": "[]" })),
    ).rejects.toThrow(
      'tokenizer: "tokenizer_config.json" must hold an object, got a list. Copy it again from where the model came from.',
    );
  });
});
