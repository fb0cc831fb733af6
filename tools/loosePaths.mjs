// Finds what ties the repository to one machine: absolute paths below home and work folders, and the hosts of
// package registries (a lock file must not say where its author downloaded from).
import { execFileSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./lib/run.mjs";

const patterns = [
  /(?<![\w.:/-])\/(?:home|Users|work|root)\/[\w.-]+/,
  /(?<!\w)[A-Z]:\\{1,2}(?:Users|home)\\/,
  /tarball:\s*http|"resolved":\s*"http/,
  /registry\.npmjs\.org|index-url|extra-index|pypi\.org\/simple/,
];

// Data, binaries, and this file, which holds the patterns.
const ignored = /^tools\/loosePaths\.mjs$|(^|\/)(data|embedded)\/|\.(safetensors|gguf|bin|npz|png|woff2?)$/;
const largestBytes = 2_000_000;

/** `path:line: text` for every finding in the files that git knows. */
export function findLoosePaths() {
  const files = execFileSync("git", ["ls-files", "-z"], { cwd: root, encoding: "utf8", maxBuffer: 1e8 });
  return files.split("\0").filter(Boolean).flatMap(findIn);
}

function findIn(path) {
  if (
    ignored.test(path) ||
    (statSync(join(root, path), { throwIfNoEntry: false })?.size ?? Infinity) > largestBytes
  ) {
    return [];
  }
  const lines = readFileSync(join(root, path), "utf8").split("\n");
  return lines.flatMap((line, i) =>
    patterns.some((pattern) => pattern.test(line)) ? [`${path}:${i + 1}: ${line.trim().slice(0, 120)}`] : [],
  );
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const found = findLoosePaths();
  for (const line of found) console.error(line);
  console.log(`loose paths: ${found.length} found`);
  process.exit(found.length === 0 ? 0 : 1);
}
