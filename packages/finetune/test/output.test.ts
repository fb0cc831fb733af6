import { describe, expect, test } from "vitest";
import { GraftError, ProblemList, UsageError } from "../src/errors.ts";
import { exitCodeOf, messageOf } from "../src/message.ts";
import { createOutput, jsonLine } from "../src/output.ts";
import { formatDuration, formatProgress, formatRate, Progress } from "../src/progress.ts";

function sink(isTTY = false) {
  const written: string[] = [];
  return { isTTY, written, write: (text: string) => written.push(text) };
}

describe("output", () => {
  test("--json writes JSON lines to standard output and nothing else", () => {
    const [out, err] = [sink(), sink()];
    const output = createOutput(true, out, err);
    output.text("words");
    output.event({ event: "step", loss: 0.1 + 0.2 });
    output.result({ tokens: 3 }, "3 tokens");
    output.notice("a notice");
    expect(out.written).toEqual(['{"event":"step","loss":0.30000000000000004}\n', '{"tokens":3}\n']);
    expect(err.written).toEqual(["a notice\n"]);
  });

  test("without --json the text is written", () => {
    const [out, err] = [sink(), sink()];
    const output = createOutput(false, out, err);
    output.text("words");
    output.event({ event: "step" });
    output.result({ tokens: 3 }, "3 tokens");
    expect(out.written).toEqual(["words", "3 tokens\n"]);
  });

  test("a number that is not finite is refused by name", () => {
    expect(() => jsonLine({ a: { loss: Number.NaN } })).toThrow(
      'output: "loss" must be a finite number, got NaN. The run has diverged; a lower --learning-rate may help.',
    );
    expect(() => jsonLine({ list: [Number.POSITIVE_INFINITY] })).toThrow(GraftError);
  });
});

describe("messages", () => {
  test("exit statuses", () => {
    expect([new GraftError("x"), new UsageError("x"), new Error("x"), "x"].map(exitCodeOf)).toEqual([
      1, 2, 1, 1,
    ]);
  });

  test("a message is one paragraph with a sign at its end", () => {
    expect(messageOf(new GraftError("one thing"))).toBe("graft: one thing.");
    expect(messageOf(new Error("load: 5 problems\n  a: x\n  b: y\n  c: z\n  d: u\n  e: v"))).toBe(
      "graft: load: 5 problems: a: x; b: y; c: z; and 2 more.",
    );
    // Counted already, by who made the list.
    expect(messageOf(new Error("load: 9 problems\n  a: x\n  b: y\n  c: z\n  and 6 more"))).toBe(
      "graft: load: 9 problems: a: x; b: y; c: z; and 6 more.",
    );
    expect(messageOf(new Error("load: 4 problems\n  a\n  b\n  c\n  d\nIt was made for x."))).toBe(
      "graft: load: 4 problems: a; b; c; and 1 more. It was made for x.",
    );
  });

  test("a message stays under 900 characters", () => {
    expect(messageOf(new GraftError("long ".repeat(1000))).length).toBeLessThan(900);
  });

  test("errors of the system and of the program are explained", () => {
    const missing = Object.assign(new Error("ENOENT: no such file"), { code: "ENOENT", path: "a/b" });
    expect(messageOf(missing)).toBe('graft: the path "a/b" does not exist. Check the path (ENOENT).');
    expect(messageOf(new TypeError("x is not a function"))).toBe(
      "graft: internal: x is not a function. Please report this with the output of GRAFT_DEBUG=1.",
    );
  });

  test("of many problems the count and the first three", () => {
    const problems = new ProblemList();
    for (let i = 1; i <= 9; i++) problems.add(`line ${i}: bad.`);
    expect(problems.message('"a.jsonl"')).toBe(
      '"a.jsonl" has 9 problems: line 1: bad; line 2: bad; line 3: bad; and 6 more.',
    );
  });
});

describe("progress", () => {
  const state = { step: 5, steps: 100, loss: 2.30458, tokensPerSecond: 1234.4, seconds: 10 };

  test("durations, rates and lines", () => {
    expect([0.2, 59.4, 65, 3725].map(formatDuration)).toEqual(["0s", "59s", "1m 05s", "1h 02m"]);
    expect([0.518, 51.82, 1234.4].map(formatRate)).toEqual([
      "0.52 tokens/s",
      "51.8 tokens/s",
      "1,234 tokens/s",
    ]);
    expect(formatProgress(state)).toBe("step   5/100  loss 2.3046  1,234 tokens/s  3m 10s left");
  });

  test("a terminal gets one line that is rewritten", () => {
    const err = sink(true);
    const progress = new Progress(err, 100);
    progress.update(state);
    progress.update({ ...state, step: 6, seconds: 1 });
    progress.finish();
    expect(err.written[0]).toBe("\rstep   5/100  loss 2.3046  1,234 tokens/s  3m 10s left");
    expect(err.written[1].length).toBe(err.written[0].length);
    expect(err.written[2]).toBe("\n");
  });

  test("a file gets plain lines now and then", () => {
    const err = sink();
    const progress = new Progress(err, 100, 10);
    for (let step = 1; step <= 100; step++) progress.update({ ...state, step });
    progress.finish();
    expect(err.written.map((line) => line.slice(5, 8).trim())).toEqual([
      "1",
      "10",
      "20",
      "30",
      "40",
      "50",
      "60",
      "70",
      "80",
      "90",
      "100",
    ]);
    expect(err.written.every((line) => line.endsWith("\n") && !line.includes("\r"))).toBe(true);
  });
});
