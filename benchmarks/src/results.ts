import { mkdir, writeFile } from "node:fs/promises";
import type { Result } from "./harness.ts";
import type { Machine } from "./machine.ts";
import { benchmarksFolder } from "./paths.ts";

/** What a file of `results/` holds. */
export interface ResultFile {
  /** UTC, `YYYY-MM-DD`. */
  readonly date: string;
  readonly machine: Machine;
  readonly results: readonly Result[];
}

const folder = new URL("results/", benchmarksFolder);

/** Writes `results/<date>-<machine>.json` and returns its name. Suites of an earlier run that day are replaced one by one. */
export async function writeResults(where: Machine, results: readonly Result[]): Promise<string> {
  const date = new Date().toISOString().slice(0, 10);
  const slug = `${where.adapter ?? where.cpu}`
    .toLowerCase()
    .replace(/\(.*$/, "")
    .replace(/[^a-z0-9.]+/g, "-")
    .replace(/^-|-$/g, "");
  const name = `${date}-${slug}.json`;
  await mkdir(folder, { recursive: true });
  const content: ResultFile = { date, machine: where, results: results.map(rounded) };
  await writeFile(new URL(name, folder), `${JSON.stringify(content, undefined, 1)}\n`);
  return `benchmarks/results/${name}`;
}

/** Six digits: what a clock can tell. */
function rounded(result: Result): Result {
  return JSON.parse(
    JSON.stringify(result, (_, value) => (typeof value === "number" ? Number(value.toPrecision(6)) : value)),
  );
}
