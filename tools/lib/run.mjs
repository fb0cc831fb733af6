// Small helpers for the scripts in tools/. Plain JavaScript: Node 20 cannot run TypeScript.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** The path of a command that a dev dependency brings, so that nothing depends on PATH or on npx. */
export function bin(packageName, command = packageName) {
  const entry = createRequire(import.meta.url).resolve(`${packageName}/package.json`);
  const { bin: names } = JSON.parse(readFileSync(entry, "utf8"));
  return join(dirname(entry), typeof names === "string" ? names : names[command]);
}

/** Runs a Node script in the root with its output shown; returns the exit status. */
export function node(script, args = [], env = {}) {
  const options = { cwd: root, stdio: "inherit", env: { ...process.env, ...env } };
  const { status, signal } = spawnSync(process.execPath, [script, ...args], options);
  if (signal) console.error(`${script} was ended by ${signal}`);
  return status ?? 1;
}

/** All files below a folder, as paths from the root, without what was built or installed. */
export function filesBelow(folder, wanted = () => true) {
  const skipped = new Set(["node_modules", "dist", ".git", ".cache", "coverage", "runs", "__pycache__"]);
  const found = [];
  const walk = (path) => {
    for (const entry of readdirSync(join(root, path), { withFileTypes: true })) {
      const below = path === "" ? entry.name : `${path}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!skipped.has(entry.name)) walk(below);
      } else if (wanted(below)) found.push(below);
    }
  };
  walk(folder);
  return found.sort();
}

/** Runs named steps in order, stops at the first that fails, and says how long each took. */
export async function steps(list) {
  for (const [name, run] of list) {
    const start = performance.now();
    console.log(`\n== ${name}`);
    const ok = await run();
    console.log(`== ${name}: ${ok ? "ok" : "FAILED"}, ${((performance.now() - start) / 1000).toFixed(1)} s`);
    if (!ok) process.exit(1);
  }
}
