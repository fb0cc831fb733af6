import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { makeBatch, rowOrder, stepsForEpochs, trainingBatches } from "../src/dataset/batching.ts";
import { datasetNotices } from "../src/dataset/example.ts";
import { type DataOptions, readData } from "../src/dataset/read.ts";
import { smallTokenizer } from "./support.ts";

const folder = mkdtempSync(join(tmpdir(), "graft-data-"));
afterAll(() => rmSync(folder, { recursive: true }));

const tokenizer = smallTokenizer();
const options: DataOptions = {
  sequenceLength: 8,
  vocabSize: tokenizer.vocabSize,
  tokenizer: async () => tokenizer,
  use: "eval",
};

function read(name: string, content: string | Uint8Array, changes: Partial<DataOptions> = {}) {
  const path = join(folder, name);
  writeFileSync(path, content);
  return readData(path, { ...options, ...changes });
}

const rows = (content: string | Uint8Array, changes: Partial<DataOptions> = {}) =>
  read("rows.jsonl", content, changes);
const ids = (text: string) => tokenizer.encode(text);

describe("rows", () => {
  test("text: every token and the end of text", async () => {
    const { examples } = await rows('{"text": "the"}');
    expect(examples).toEqual([{ inputIds: [...ids("the"), 2], labels: [...ids("the"), 2], row: 1 }]);
  });

  test("prompt and completion: tokenized apart, loss on the completion", async () => {
    const { examples, targets } = await rows('{"prompt": "t", "completion": "he"}');
    expect(examples[0].inputIds).toEqual([...ids("t"), ...ids("he"), 2]);
    expect(examples[0].labels).toEqual([-100, ...ids("he"), 2]);
    expect(targets).toBe(2);
  });

  test("messages: loss on the assistant's turns", async () => {
    const { examples, targets } = await rows(
      '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "the"}]}',
      { sequenceLength: 99 },
    );
    expect(targets).toBe(ids("the").length + 1);
    expect(examples[0].labels.filter((label) => label !== -100)).toEqual([...ids("the"), 2]);
  });

  test("input_ids need no tokenizer; labels may be left out", async () => {
    const refuse = () => Promise.reject(new Error("not needed"));
    const { examples, targets } = await rows(
      '{"input_ids": [1, 2, 3]}\n{"input_ids": [4, 5], "labels": [-100, 5]}\n',
      { tokenizer: refuse },
    );
    expect(examples).toEqual([
      { inputIds: [1, 2, 3], labels: [1, 2, 3], row: 1 },
      { inputIds: [4, 5], labels: [-100, 5], row: 2 },
    ]);
    expect(targets).toBe(3);
  });

  test("a byte order mark, carriage returns, empty lines and a missing last line end do not matter", async () => {
    const { examples, rows: count } = await rows(
      '\uFEFF{"input_ids": [1, 2]}\r\n\r\n  \n{"input_ids": [3, 4]}',
    );
    expect([count, examples.map(({ inputIds }) => inputIds)]).toEqual([
      2,
      [
        [1, 2],
        [3, 4],
      ],
    ]);
  });

  test("lines longer than what is read at once keep their text", async () => {
    const words = "über ".repeat(300_000);
    const found = await rows(`${JSON.stringify({ text: words })}\r\n{"text": "in"}`, {
      sequenceLength: 2 ** 24,
    });
    expect(tokenizer.decode(found.examples[0].inputIds.slice(0, -1))).toBe(words);
    expect(found.examples[1].inputIds).toEqual([...ids("in"), 2]);
  });

  test("rows without a target are left out and counted, long rows cut and counted", async () => {
    const found = await rows(
      '{"input_ids": [1]}\n{"input_ids": [1,2,3,4,5,6,7,8,9,10]}\n{"input_ids": [1, 2], "labels": [1, -100]}\n{"input_ids": []}',
    );
    expect(found).toMatchObject({ rows: 4, leftOut: 3, cut: 1, targets: 7 });
    expect(found.examples[0].inputIds).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(datasetNotices("rows.jsonl", found, 8)).toEqual([
      "rows.jsonl: 3 of 4 rows have no target and are left out.",
      "rows.jsonl: 1 of 4 rows are longer than 8 tokens and are cut there. Raise --sequence-length to keep them whole.",
    ]);
  });

  const KEYS =
    "must have the keys text, prompt and completion, messages, or input_ids and labels and no other";
  test.each([
    ['{"txt": "a"}', `line 1: ${KEYS}, got "txt".`],
    ['{"text": "a", "id": 1}', `line 1: ${KEYS}, got "text, id".`],
    ['{"prompt": "a"}', `line 1: ${KEYS}, got "prompt".`],
    ["{}", `line 1: ${KEYS}, got none.`],
    ["[1]", "line 1: must be a JSON object, got a list."],
    ['{"text": 3}', 'line 1: "text" must be a string, got the number 3.'],
    [
      '{"input_ids": [1, 2]}\n{"text": "a"}',
      "line 2: must be of the shape input_ids as line 1 is, got text.",
    ],
    [
      '{"input_ids": [1, 2]}\n\n{"input_ids": [1, 266]}',
      "line 3: every token must be from 0 to 265, the model's vocabulary, got 266 at position 1.",
    ],
    [
      '{"input_ids": [1, -1]}',
      "line 1: every token must be from 0 to 265, the model's vocabulary, got -1 at position 1.",
    ],
    [
      '{"input_ids": [1, 2], "labels": [1, -7]}',
      "line 1: every label must be from 0 to 265 or −100, the model's vocabulary, got -7 at position 1.",
    ],
    ['{"input_ids": [1, 2], "labels": [1]}', "line 1: labels must be as many as input_ids (2), got 1."],
    [
      '{"input_ids": [1, 2.5]}',
      'line 1: "input_ids" must be a list of whole numbers, got the number 2.5 at position 1.',
    ],
    ['{"input_ids": "12"}', 'line 1: "input_ids" must be a list of whole numbers, got a string.'],
    ['{"messages": []}', 'line 1: "messages" must be a list of at least one message, got an empty list.'],
    ['{"messages": [{"role": "user"}]}', 'line 1: "messages[0].content" must be a string, got nothing.'],
    [
      '{"messages": [{"role": "user", "content": "a", "name": "b"}]}',
      'line 1: message 0 must have role and content and no other key, got "name".',
    ],
  ])("%s is refused with its line", async (content, message) => {
    await expect(rows(content)).rejects.toThrow(`data: "rows.jsonl", ${message}`);
  });

  test("broken JSON and broken UTF-8 name the line", async () => {
    await expect(rows('{"text": "a"}\n{"text": ')).rejects.toThrow(
      /^data: "rows\.jsonl", line 2: must be a JSON object, got text that is not JSON \(/,
    );
    await expect(
      rows(Buffer.concat([Buffer.from('{"text": "a"}\n{"text": "'), Buffer.from([0xff]), Buffer.from('"}')])),
    ).rejects.toThrow('data: "rows.jsonl", line 2: must be UTF-8 text, got other bytes.');
  });

  test("of many problems the count and the first three", async () => {
    await expect(rows("1\n".repeat(12))).rejects.toThrow(
      'data: "rows.jsonl" has 12 problems: line 1: must be a JSON object, got the number 1; line 2: must be a JSON object, got the number 1; line 3: must be a JSON object, got the number 1; and 9 more.',
    );
  });

  test("a file without rows or without any target is refused", async () => {
    await expect(rows("\n\n")).rejects.toThrow(
      'data: "rows.jsonl" must hold at least one row, got none up to its last line. Put one JSON object on each line.',
    );
    await expect(rows('\n{"input_ids": [1]}')).rejects.toThrow(
      'data: "rows.jsonl" must hold at least one target, got none in its 1 rows (line 2 is the first). A row needs two tokens, and a label other than −100 after the first.',
    );
  });

  test("text rows of a tokenizer without an end of text are refused", async () => {
    const endless = smallTokenizer({ config: { eos_token: null } });
    await expect(rows('{"text": "a"}', { tokenizer: async () => endless })).rejects.toThrow(
      /line 1: needs an eos_token at its end, but the tokenizer names none/,
    );
  });

  test("a file of another kind, a folder and a missing file are refused", async () => {
    await expect(read("a.csv", "x")).rejects.toThrow(/must end in \.txt \(plain text\) or \.jsonl/);
    await expect(readData(folder, options)).rejects.toThrow(/got a folder or device\. Give one file\./);
    await expect(readData(join(folder, "none.txt"), options)).rejects.toThrow(
      /got no file of that name\. Check the path\./,
    );
  });
});

describe("text", () => {
  const text = (content: string | Uint8Array, changes: Partial<DataOptions> = {}) =>
    read("t.txt", content, changes);

  test("windows of the length, the rest kept for eval and dropped for training", async () => {
    const whole = ids("abcdefghijklmnopqrst");
    const found = await text("abcdefghijklmnopqrst");
    expect(found.examples.map(({ inputIds }) => inputIds)).toEqual([
      whole.slice(0, 8),
      whole.slice(8, 16),
      whole.slice(16),
    ]);
    expect(found.targets).toBe(whole.length - 3);
    expect((await text("abcdefghijklmnopqrst", { use: "train" })).examples.length).toBe(2);
    expect((await text("abcdefghi")).examples.length).toBe(1); // a rest of one token has no target
  });

  test("too little text, other bytes and strange tokens are refused", async () => {
    await expect(text("abc", { use: "train" })).rejects.toThrow(
      'data: "t.txt" must fill one sequence of 8 tokens at least, got 3 tokens. Use --sequence-length 3 or less, or a longer text.',
    );
    await expect(text("")).rejects.toThrow(
      /must hold at least two tokens, so that one can be predicted, got 0 up to its last line/,
    );
    await expect(text(Uint8Array.of(0x61, 0x0a, 0xff))).rejects.toThrow(
      /must be UTF-8 text, got other bytes at line 1 or soon after/,
    );
    await expect(text("abc", { vocabSize: 10 })).rejects.toThrow(
      /every token must be from 0 to 9, the model's vocabulary, got \d+ for token 0/,
    );
  });

  test("a long text gives the tokens of the whole", async () => {
    const part = "The 12 inns,\n\nthe über\nhill.  \n  in the\n\n\nend:\n7\n";
    const long = part.repeat(Math.ceil((1.2 * 2 ** 20) / part.length));
    const { examples } = await text(long, { sequenceLength: 1 << 24 });
    expect(examples[0].inputIds.length).toBe(ids(long).length);
    expect(
      Buffer.from(Int32Array.from(examples[0].inputIds).buffer).equals(
        Buffer.from(Int32Array.from(ids(long)).buffer),
      ),
    ).toBe(true);
  });
});

describe("batches", () => {
  const example = (...inputIds: number[]) => ({ inputIds, labels: inputIds });

  test("rows are filled to the longest, without loss there", () => {
    expect(makeBatch([example(1, 2, 3), { inputIds: [4, 5], labels: [-100, 5] }], 9)).toEqual({
      inputIds: Int32Array.of(1, 2, 3, 4, 5, 9),
      labels: Int32Array.of(1, 2, 3, -100, 5, -100),
      rows: 2,
      length: 3,
      targets: 3,
    });
  });

  test("without shuffling the rows go round in file order", () => {
    const steps = trainingBatches([example(1, 1), example(2, 2), example(3, 3)], {
      batchSize: 2,
      accumulate: 1,
      shuffle: false,
      seed: 0,
    });
    const first = Array.from({ length: 3 }, () =>
      steps.next().value.batches.flatMap((batch) => [batch.inputIds[0], batch.inputIds[2]]),
    );
    expect(first).toEqual([
      [1, 2],
      [3, 1],
      [2, 3],
    ]);
  });

  test("with shuffling every pass holds every row once, in another order, by the seed", () => {
    const take = (seed: number) => {
      const order = rowOrder(20, { shuffle: true, seed });
      return Array.from({ length: 40 }, () => order.next().value);
    };
    const [a, b] = [take(1).slice(0, 20), take(1).slice(20)];
    for (const pass of [a, b]) expect([...pass].sort((x, y) => x - y)).toEqual([...Array(20).keys()]);
    expect(a).not.toEqual(b);
    expect(take(2)).not.toEqual(take(1));
  });

  test("a step counts the targets of all its micro-batches", () => {
    const steps = trainingBatches([example(1, 1, 1), example(2, 2)], {
      batchSize: 1,
      accumulate: 2,
      shuffle: false,
      seed: 0,
    });
    expect(steps.next().value).toMatchObject({ targets: 3, batches: [{ targets: 2 }, { targets: 1 }] });
  });

  test("epochs give ceil(rows × epochs / rows per step) steps", () => {
    expect(stepsForEpochs(10, 1, 2, 2)).toBe(3);
    expect(stepsForEpochs(70, 0.1, 1, 1)).toBe(7);
    expect(stepsForEpochs(3, 0.01, 8, 1)).toBe(1);
  });
});
