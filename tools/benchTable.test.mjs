import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { readme, readResults, table, withTables } from "./benchTable.mjs";

const file = {
  date: "2026-11-22",
  machine: { cpu: "Some CPU", cores: 2, node: "v20.1.0", adapter: "llvmpipe" },
  results: [
    {
      suite: "gptStep",
      commit: "0123456789ab",
      case: "Graft",
      ms: [210, 200, 190],
      median: 200,
      spread: 0.05,
      speedup: 1,
      gflops: 25.04,
      dispatches: 80,
      bytes: 12_345_678,
    },
    {
      suite: "gptStep",
      commit: "0123456789ab",
      case: "jax-js",
      ms: [1000, 1010, 990],
      median: 1000,
      spread: 0.01,
      speedup: 0.2,
      rest: 12.3456,
      tokensPerSecond: 99.96,
      note: "loss 1.5",
    },
    { suite: "ops", commit: "ba9876543210", case: "mul", ms: [1], median: 1, spread: 0, speedup: 1 },
  ],
};

test("the table in README.md is the one that its results give", () => {
  const text = readFileSync(readme, "utf8");
  expect(text).toContain("<!-- benchmarks ");
  expect(withTables(text, readResults)).toBe(text);
});

test("a table has a row for each case of the suites that are asked for", () => {
  const lines = table(file, ["gptStep"]).split("\n");
  expect(lines.slice(2, 4)).toEqual([
    "| gptStep: Graft | 200 ms | 5 % | 1 | 25 | 80 | 12.3 |",
    "| gptStep: jax-js (12.3 ms over the forward, 100 tokens/s, loss 1.5) | 1 s | 1 % | 5 |  |  |  |",
  ]);
  expect(lines[5]).toBe(
    "2026-11-22, llvmpipe, Some CPU with 2 cores, Node 20.1.0, commit 0123456789ab; medians of 3 interleaved rounds.",
  );
  expect(table(file, ["gptStep", "ops"])).toContain("commit 0123456789ab and ba9876543210; medians of 1 ");
  expect(() => table(file, ["nothing"])).toThrow(
    'benchTable: the results must hold suite "nothing", got none.',
  );
});

test("another result, or a table written by hand, is noticed", () => {
  const empty = "a\n<!-- benchmarks file.json gptStep -->\n<!-- /benchmarks -->\nb\n";
  const made = withTables(empty, () => file);
  expect(withTables(made, () => file)).toBe(made);
  expect(withTables(made.replace("| 200 ms", "| 100 ms"), () => file)).toBe(made);
  const other = { ...file, date: "2026-11-23" };
  expect(withTables(made, () => other)).not.toBe(made);
});
