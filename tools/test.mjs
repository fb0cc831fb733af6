// All tests, in the order in which a mistake is cheapest to see. The build was done by `npm run setup`.
//   npm test                      everything but the large tests
//   npm test -- rmsNorm           only test files whose path holds the word; further arguments go to vitest
//   npm run test:large            only *.large.test.ts: minutes, gigabytes
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { findProblems } from "./boundaries.mjs";
import { bin, node, root, steps } from "./lib/run.mjs";
import { findLoosePaths } from "./loosePaths.mjs";

const large = process.argv.includes("--large");
const chosen = process.argv.slice(2).filter((argument) => argument !== "--large");

const report = (problems) => {
  for (const problem of problems) console.error(problem);
  return problems.length === 0;
};

const formatAndLint = () => {
  const colors = process.stdout.isTTY ? [] : ["--colors=off"];
  const ok = node(bin("@biomejs/biome", "biome"), ["ci", ".", "--max-diagnostics=30", ...colors]) === 0;
  if (!ok) console.log('"npm run fix" repairs what can be repaired.');
  return ok;
};

const checks = [
  ["format and lint", formatAndLint],
  ["types of tests", () => node(bin("typescript", "tsc"), ["-p", "tsconfig.test.json"]) === 0],
  ["boundaries and cycles", () => report(findProblems())],
  ["loose paths", () => report(findLoosePaths())],
];

const suite = large ? "large" : "tests";
const results = join(root, ".cache", `${suite}.json`);
mkdirSync(join(root, ".cache"), { recursive: true });
const vitest = () => {
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${results}`];
  return node(bin("vitest"), ["run", ...reporters, ...chosen], large ? { GRAFT_LARGE: "1" } : {}) === 0;
};

await steps([...(large || chosen.length > 0 ? [] : checks), [suite, vitest]]);
