import { readdir, readFile, realpath } from "node:fs/promises";
import { join, posix, relative, sep } from "node:path";

/** What stands under a name in "exports": a file, or further choices by condition. */
type Target = string | { readonly [condition: string]: Target };

type Manifest = {
  readonly name: string;
  readonly main?: string;
  readonly exports?: Readonly<Record<string, Target>>;
  readonly dependencies?: Readonly<Record<string, string>>;
};

/**
 * The import map under which a page finds every entry of every package: `@graft/tensor` is
 * `/packages/tensor/dist/index.js`, as the `default` of its `exports` says. What the packages depend on is there too, by
 * its main entry.
 */
export async function importMap(root: string): Promise<Record<string, string>> {
  const folders = await readdir(join(root, "packages"));
  const maps = await Promise.all(folders.map((folder) => entriesOf(root, join(root, "packages", folder))));
  return Object.fromEntries(maps.flat());
}

async function entriesOf(root: string, folder: string): Promise<[string, string][]> {
  const manifest = await readManifest(folder);
  if (manifest === undefined) return [];
  const own = Object.entries(manifest.exports ?? {}).map(([entry, target]): [string, string] => [
    posix.join(manifest.name, entry),
    urlOf(root, folder, fileOf(target)),
  ]);
  const others = Object.keys(manifest.dependencies ?? {}).filter((name) => !name.startsWith("@graft/"));
  return [...own, ...(await Promise.all(others.map((name) => mainEntry(root, folder, name))))];
}

async function mainEntry(root: string, folder: string, name: string): Promise<[string, string]> {
  const place = await realpath(join(folder, "node_modules", name));
  const manifest = await readManifest(place);
  return [name, urlOf(root, place, fileOf(manifest?.exports?.["."] ?? manifest?.main ?? "./index.js"))];
}

/** The file that a page would take. */
function fileOf(target: Target): string {
  if (typeof target === "string") return target;
  const chosen = ["browser", "import", "default"].find((condition) => condition in target);
  return chosen === undefined ? "./index.js" : fileOf(target[chosen]);
}

function urlOf(root: string, folder: string, file: string): string {
  return `/${posix.join(relative(root, folder).split(sep).join("/"), file)}`;
}

async function readManifest(folder: string): Promise<Manifest | undefined> {
  const text = await readFile(join(folder, "package.json"), "utf8").catch(() => undefined);
  // Our own manifests and those we chose; a wrong one fails the tests that import by it.
  return text === undefined ? undefined : (JSON.parse(text) as Manifest);
}
