import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const root = fileURLToPath(new URL(".", import.meta.url));

// Tests run on the sources, so no build stands between an edit and its answer. The condition of the workspace's
// own comes first in every package's "exports".
const conditions = ["graft-source", "node", "import", "module", "development|production", "default"];

// `npm run test:large` runs what needs minutes or gigabytes, and nothing else.
const large = process.env.GRAFT_LARGE === "1";

// Properties use one seed for the whole run: fixed in CI, new each time elsewhere, printed and repeatable everywhere.
// This file is read once for each project; the variable keeps the seed the same, also in the workers.
if (!process.env.GRAFT_FC_SEED) {
  process.env.GRAFT_FC_SEED = String(process.env.CI ? 20261122 : Date.now() % 2 ** 31);
  const adapter = process.env.GRAFT_ADAPTER ? ` GRAFT_ADAPTER=${process.env.GRAFT_ADAPTER}` : "";
  console.log(`to repeat this run: GRAFT_FC_SEED=${process.env.GRAFT_FC_SEED}${adapter}`);
}

const packages = readdirSync(`${root}packages`).filter((name) =>
  existsSync(`${root}packages/${name}/package.json`),
);

const project = (name: string, folder: string) => ({
  extends: true as const,
  test: {
    name,
    include: [`${folder}/**/*${large ? ".large" : ""}.test.{ts,mjs}`],
    exclude: ["**/node_modules/**", "**/dist/**", ...(large ? [] : ["**/*.large.test.{ts,mjs}"])],
  },
});

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    root,
    setupFiles: ["tools/vitest/setup.ts"],
    passWithNoTests: true,
    pool: "forks",
    // Two, because each worker holds a device of its own; and without isolation, so that it is opened once for
    // all test files of the worker and pipelines stay cached.
    maxWorkers: 2,
    isolate: false,
    testTimeout: large ? 600_000 : 30_000,
    hookTimeout: large ? 600_000 : 60_000,
    projects: [
      ...packages.map((name) => project(name, `packages/${name}`)),
      project("examples", "examples"),
      project("benchmarks", "benchmarks"),
      project("tools", "tools"),
    ],
  },
});
