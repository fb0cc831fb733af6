import { readdir, readFile } from "node:fs/promises";
import { join, posix } from "node:path";

/**
 * The import map under which a page finds every entry of every package: `@graft/tensor` is
 * `/packages/tensor/dist/index.js`, as the `default` of its `exports` says.
 */
export async function importMap(root: string): Promise<Record<string, string>> {
  const folders = await readdir(join(root, "packages"));
  const maps = await Promise.all(folders.map((folder) => entriesOf(root, folder)));
  return Object.fromEntries(maps.flat());
}

async function entriesOf(root: string, folder: string): Promise<[string, string][]> {
  const text = await readFile(join(root, "packages", folder, "package.json"), "utf8").catch(() => undefined);
  if (text === undefined) return [];
  // Our own manifests; a wrong one fails the tests that import by it.
  const manifest = JSON.parse(text) as { name: string; exports?: Record<string, { default: string }> };
  return Object.entries(manifest.exports ?? {}).map(([entry, { default: target }]) => [
    posix.join(manifest.name, entry),
    `/${posix.join("packages", folder, target)}`,
  ]);
}
