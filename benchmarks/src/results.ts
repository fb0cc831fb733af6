import { mkdir, readFile, writeFile } from "node:fs/promises";
import type { Result } from "./harness.ts";
import type { Machine } from "./machine.ts";
import { benchmarksFolder } from "./paths.ts";

/** What a file of `results/` holds. */
export interface ResultFile {
  /** UTC, `YYYY-MM-DD`. */
  readonly date: string;
  readonly machine: Omit<Machine, "commit">;
  /** Each with the commit that it was measured at. */
  readonly results: readonly (Result & { readonly commit: string | undefined })[];
}

/**
 * Writes `results/<date>-<machine>.json` and returns its name. Suites that were written that day before and are not among
 * `results` stay.
 */
export async function writeResults(
  { commit, ...machine }: Machine,
  results: readonly Result[],
  { folder = new URL("results/", benchmarksFolder), date = new Date().toISOString().slice(0, 10) } = {},
): Promise<string> {
  const slug = `${machine.adapter ?? machine.cpu}`
    .toLowerCase()
    .replace(/\(.*$/, "")
    .replace(/[^a-z0-9.]+/g, "-")
    .replace(/^-|-$/g, "");
  const name = `${date}-${slug}.json`;
  const file = new URL(name, folder);
  const suites = new Set(results.map(({ suite }) => suite));
  const before = (await earlier(file)).filter(({ suite }) => !suites.has(suite));
  const content: ResultFile = {
    date,
    machine,
    results: [...before, ...results.map((result) => rounded({ ...result, commit }))],
  };
  await mkdir(folder, { recursive: true });
  await writeFile(file, `${JSON.stringify(content, undefined, 1)}\n`);
  return name;
}

async function earlier(file: URL): Promise<ResultFile["results"]> {
  try {
    const { results }: ResultFile = JSON.parse(await readFile(file, "utf8"));
    return results;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

/** Six digits: more than a clock can tell. */
function rounded<T>(value: T): T {
  return JSON.parse(
    JSON.stringify(value, (_, part) => (typeof part === "number" ? Number(part.toPrecision(6)) : part)),
  );
}
