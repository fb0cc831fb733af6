// The program in README.md runs as it stands there, from the root of the repository, and learns.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { expect, test, vi } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

test("the program in README.md runs and its loss falls", async () => {
  const program = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, "README.md"), "utf8"))?.[1];
  expect(program).toBeDefined();
  const file = join(root, "examples/.cache/readme.ts");
  mkdirSync(join(root, "examples/.cache"), { recursive: true });
  writeFileSync(file, program ?? "");
  const said: string[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((line) => void said.push(String(line)));
  const cwd = process.cwd();
  process.chdir(root);
  try {
    await import(/* @vite-ignore */ `${pathToFileURL(file).href}?${Date.now()}`);
  } finally {
    process.chdir(cwd);
    log.mockRestore();
  }
  const losses = said.flatMap((line) => /loss ([\d.]+)$/.exec(line)?.[1] ?? []).map(Number);
  expect(said[0]).toMatch(/^trainable params: [\d,]+ \|\| all params/);
  expect(losses).toHaveLength(5);
  expect(losses[4]).toBeLessThan(losses[0]);
  expect(readFileSync(join(root, "runs/readme/adapter_config.json"), "utf8")).toContain('"LORA"');
});
