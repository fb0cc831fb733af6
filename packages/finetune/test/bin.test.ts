// The program itself, as its own process, without the packages that its verbs need: help and wrong usage load none of them.
import { spawnSync } from "node:child_process";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { beforeAll, describe, expect, test } from "vitest";
import { temporaryFolder } from "./graft.ts";

const folder = temporaryFolder();
const here = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));

beforeAll(async () => {
  await build({
    entryPoints: [here("src/bin.ts")],
    bundle: true,
    splitting: true,
    platform: "node",
    format: "esm",
    target: "node20",
    outdir: join(folder, "dist"),
    external: ["@graft/*", "@huggingface/*"],
    conditions: ["graft-source"],
    logLevel: "error",
  });
  cpSync(here("package.json"), join(folder, "package.json"));
});

const start = (...words: string[]) =>
  spawnSync(process.execPath, [join(folder, "dist/bin.js"), ...words], { encoding: "utf8" });

describe("graft", () => {
  test("--version and --help need nothing else", () => {
    expect(start("--version")).toMatchObject({ status: 0, stdout: "0.1.0\n", stderr: "" });
    expect(start("--help")).toMatchObject({ status: 0, stderr: "" });
    expect(start("merge", "--help").stdout).toContain("Usage: graft merge");
  });

  test.each([
    [[], "graft: a verb was expected"],
    [
      ["train"],
      'graft: the verb must be one of finetune, generate, eval, merge, quantize, info, doctor, bench, got "train".',
    ],
    [["eval", "--modle", "x"], "graft: eval: --modle is not a flag of this verb."],
    [["generate", "--model"], "graft: generate: --model needs a value, got nothing."],
    [["info"], "graft: info: a path must be given."],
  ])("wrong usage is exit 2: %j", (words, message) => {
    const ended = start(...words);
    expect(ended).toMatchObject({ status: 2, stdout: "" });
    expect(ended.stderr.startsWith(message), ended.stderr).toBe(true);
    expect(ended.stderr.trimEnd().split("\n")).toHaveLength(1);
  });
});
