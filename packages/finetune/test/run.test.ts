// The wrapper around the command, as its own process: exit statuses, one message, broken pipes, Ctrl-C.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "graft-run-"));
const program = join(folder, "main.mjs");
const source = (name: string) => JSON.stringify(fileURLToPath(new URL(`../src/${name}`, import.meta.url)));

const MAIN = `
import { run } from ${source("run.ts")};
import { createOutput } from ${source("output.ts")};
import { writeFolderAtomic } from ${source("../../nn/src/checkpoint/node.ts")};
import { GraftError, UsageError } from ${source("errors.ts")};
const output = createOutput(true);
const verbs = {
  good: async () => output.result({ done: true }, ""),
  wrong: async () => { throw new GraftError("it: must be x, got y"); },
  usage: async () => { throw new UsageError("it: must be x, got y. See --help."); },
  fault: async () => { null.x; },
  stray: async () => { setTimeout(() => { throw new GraftError("it: was lost. Try again."); }); await new Promise((r) => setTimeout(r, 5000)); },
  many: async () => { for (let i = 0; i < 100000; i++) { output.event({ i }); if (i % 1000 === 0) await new Promise((r) => setImmediate(r)); } },
  wait: async ({ handleInterrupt }) => {
    const signal = handleInterrupt();
    output.event({ ready: true });
    while (!signal.aborted) await new Promise((r) => setTimeout(r, 5));
    output.event({ saved: true });
  },
  slow: async ({ handleInterrupt }) => {
    const signal = handleInterrupt();
    output.event({ ready: true });
    while (!signal.aborted) await new Promise((r) => setTimeout(r, 5));
    await new Promise((r) => setTimeout(r, 200));
    output.event({ saved: true });
  },
  deaf: async ({ handleInterrupt }) => { handleInterrupt(); output.event({ ready: true }); await new Promise((r) => setTimeout(r, 20000)); },
  writing: async () => {
    async function* content() {
      yield new Uint8Array(9);
      output.event({ ready: true });
      await new Promise((r) => setTimeout(r, 20000));
    }
    await writeFolderAtomic(process.env.OUT, { file: content() });
  },
  hang: async () => { output.event({ ready: true }); await new Promise((r) => setTimeout(r, 20000)); },
};
await run(verbs[process.argv[2]]);
`;

beforeAll(() =>
  build({
    stdin: { contents: MAIN, resolveDir: folder },
    bundle: true,
    platform: "node",
    format: "esm",
    outfile: program,
    logLevel: "error",
  }),
);
afterAll(() => rmSync(folder, { recursive: true }));

const start = (verb: string, env = {}) =>
  spawnSync(process.execPath, [program, verb], {
    encoding: "utf8",
    maxBuffer: 2 ** 24,
    env: { ...process.env, GRAFT_DEBUG: "", ...env },
  });

describe("run", () => {
  test.each([
    ["good", 0, '{"done":true}\n', ""],
    ["wrong", 1, "", "graft: it: must be x, got y.\n"],
    ["stray", 1, "", "graft: it: was lost. Try again.\n"],
    ["usage", 2, "", "graft: it: must be x, got y. See --help.\n"],
  ])("%s ends with status %i", (verb, status, stdout, stderr) => {
    expect(start(verb)).toMatchObject({ status, stdout, stderr });
  });

  test("the stack shows with GRAFT_DEBUG=1 only", () => {
    expect(start("fault").stderr.trim().split("\n").length).toBe(1);
    expect(start("fault").stderr).toMatch(/^graft: internal: .*Please report this/);
    expect(start("fault", { GRAFT_DEBUG: "1" }).stderr).toMatch(/\n\s+at /);
  });

  test("a reader that goes away is no failure", () => {
    const shell = spawnSync(
      "bash",
      ["-c", `"${process.execPath}" "${program}" many | head -n 1; echo "status \${PIPESTATUS[0]}"`],
      { encoding: "utf8" },
    );
    expect(shell).toMatchObject({ stdout: '{"i":0}\nstatus 0\n', stderr: "" });
  });

  test("everything written arrives", () => {
    expect(start("many").stdout.split("\n").length).toBe(100_001);
  });

  test.each([
    ["wait", '{"ready":true}\n{"saved":true}\n'],
    ["hang", '{"ready":true}\n'],
    ["writing", '{"ready":true}\n'],
    ["slow", '{"ready":true}\n{"saved":true}\n', 30], // as npm passes it on
    ["deaf", '{"ready":true}\n', 1300],
  ])("Ctrl-C: %s ends with status 130", async (verb, text, again = 0) => {
    const child = spawn(process.execPath, [program, verb], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, OUT: join(folder, "out") },
    });
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      if (stdout === "") {
        child.kill("SIGINT");
        if (again > 0) setTimeout(() => child.kill("SIGINT"), again);
      }
      stdout += chunk;
    });
    const [status] = await once(child, "close");
    expect([status, stdout]).toEqual([130, text]);
    expect(readdirSync(folder)).toEqual(["main.mjs"]); // nothing half-written
  });
});
