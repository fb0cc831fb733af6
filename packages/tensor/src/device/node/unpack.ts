import { randomUUID } from "node:crypto";
import { chmod, lstat, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { dirname, isAbsolute, join, normalize, sep } from "node:path";
import { promisify } from "node:util";
import { brotliDecompress } from "node:zlib";

/**
 * Fills `<user cache>/graft/<name>` once by `fill` and returns its path. The folder is written beside its place and
 * renamed, so a process that is killed, or two at once, never leave half a folder.
 */
export async function cachedFolder(name: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const root = await cacheRoot();
  const folder = join(root, name);
  if (await exists(folder)) return folder;
  const draft = join(root, `.${name}.${randomUUID()}`);
  await mkdir(draft, { recursive: true });
  try {
    await fill(draft);
    await rename(draft, folder);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    // Another process may have been faster; its folder holds the same files.
    if (!(await exists(folder))) throw error;
  }
  return folder;
}

/** Unpacks a brotli-compressed tar file of plain files and folders. Paths that leave `folder` are refused. */
export async function unpackTar(file: string, folder: string): Promise<void> {
  const tar = await unbrotli(file);
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const path = text(tar, at, 100);
    const size = Number.parseInt(text(tar, at + 124, 12), 8);
    const mode = Number.parseInt(text(tar, at + 100, 8), 8);
    const kind = text(tar, at + 156, 1);
    if (isAbsolute(path) || normalize(path).split(sep).includes("..")) {
      throw new Error(`unpack: ${file} must hold paths below its folder only, got "${path}".`);
    }
    if (kind === "" || kind === "0") {
      const target = join(folder, path);
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, tar.subarray(at + 512, at + 512 + size));
      await chmod(target, mode & 0o755);
    }
    at += 512 + Math.ceil(size / 512) * 512;
  }
}

/** The bytes of a brotli-compressed file. */
export async function unbrotli(file: string): Promise<Buffer> {
  return promisify(brotliDecompress)(await readFile(file));
}

function text(bytes: Buffer, at: number, length: number): string {
  const end = bytes.indexOf(0, at);
  return bytes.toString("utf8", at, end < 0 || end > at + length ? at + length : end).trim();
}

// Libraries are loaded from here, so the folder of last resort, below the shared temporary folder, must be our own.
async function cacheRoot(): Promise<string> {
  const user = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "graft");
  if (await writable(user)) return user;
  const uid = process.getuid?.() ?? 0;
  const shared = join(tmpdir(), `graft-${uid}`);
  await mkdir(shared, { recursive: true, mode: 0o700 });
  const found = await lstat(shared);
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o022) !== 0) {
    throw new Error(
      `unpack: the cache folder ${shared} must belong to user ${uid} alone, got another owner or mode.`,
    );
  }
  return shared;
}

async function writable(folder: string): Promise<boolean> {
  try {
    await mkdir(folder, { recursive: true });
    const probe = join(folder, `.probe.${randomUUID()}`);
    await writeFile(probe, "");
    await rm(probe);
    return true;
  } catch {
    return false;
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
