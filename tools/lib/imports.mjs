// The imports between the source files of the packages.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { filesBelow, root } from "./run.mjs";

// import ... from "x"; export ... from "x"; import "x"; import("x"). Comments are cut out first.
const importPattern =
  /(?:^|[\s;}])(import|export)\b(\s+type\b)?([^"'`;]*?\bfrom\s*|\s*\(?\s*)["']([^"'\n]+)["']/g;

/** All TypeScript files below packages/<name>/src that are not tests. */
export function sourceFiles() {
  return filesBelow(
    "packages",
    (path) => /^packages\/[^/]+\/src\/.*\.ts$/.test(path) && !/\.test\.ts$/.test(path),
  );
}

/** What one file imports: `{ specifier, typeOnly }`. */
export function importsOf(path) {
  const text = readFileSync(join(root, path), "utf8")
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/^\s*\/\/.*$/gm, "");
  return [...text.matchAll(importPattern)].map((match) => ({
    specifier: match[4],
    typeOnly: match[2] !== undefined,
  }));
}

/** The file that a relative import names, as a path from the root, or undefined if there is none. */
export function resolveRelative(from, specifier) {
  const target = posix.join(dirname(from), specifier);
  return existsSync(join(root, target)) ? target : undefined;
}
