import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import { cachedFolder, unpackTar } from "./unpack.ts";

let folder: string;
const cacheHome = process.env.XDG_CACHE_HOME;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "graft-unpack-"));
  process.env.XDG_CACHE_HOME = folder;
});
afterEach(async () => {
  if (cacheHome === undefined) delete process.env.XDG_CACHE_HOME;
  else process.env.XDG_CACHE_HOME = cacheHome;
  await rm(folder, { recursive: true });
});

test("a tar file is unpacked with its folders and modes", async () => {
  await unpackTar(await archive("lib/a.txt", "hello"), join(folder, "out"));
  expect(await readFile(join(folder, "out/lib/a.txt"), "utf8")).toBe("hello");
});

test.each(["../a.txt", "lib/../../a.txt", "/tmp/a.txt"])("the path %s is refused", async (path) => {
  await expect(unpackTar(await archive(path, "x"), join(folder, "out"))).rejects.toThrow(
    /must hold paths below its folder only/,
  );
});

test("a cached folder is filled once, also when several ask at once, and leaves no drafts", async () => {
  let filled = 0;
  const fill = async (draft: string) => {
    filled += 1;
    await writeFile(join(draft, "file"), "x");
  };
  const paths = await Promise.all([1, 2, 3].map(() => cachedFolder("thing", fill)));
  expect(new Set(paths)).toEqual(new Set([join(folder, "graft/thing")]));
  const before = filled;
  await cachedFolder("thing", fill);
  expect(filled).toBe(before);
  expect(await readdir(join(folder, "graft"))).toEqual(["thing"]);
});

test("a fill that fails leaves nothing, so that the next one starts anew", async () => {
  const failing = cachedFolder("thing", () => Promise.reject(new Error("disk full")));
  await expect(failing).rejects.toThrow("disk full");
  expect(await readdir(join(folder, "graft"))).toEqual([]);
});

async function archive(path: string, content: string): Promise<string> {
  const header = Buffer.alloc(512);
  header.write(path, 0);
  header.write("0000644\0", 100);
  header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  header.write("0", 156);
  const body = Buffer.alloc(512);
  body.write(content);
  const file = join(folder, "a.tar.br");
  await writeFile(file, brotliCompressSync(Buffer.concat([header, body, Buffer.alloc(1024)])));
  return file;
}
