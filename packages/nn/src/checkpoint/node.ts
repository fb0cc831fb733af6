/** Files and folders, for Node only: everything else in `@graft/nn` also loads in a page. */
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { type FileHandle, lstat, mkdir, open, readdir, realpath, rename, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join, relative, resolve, sep } from "node:path";

import { CheckpointError } from "../errors.ts";
import { type ByteSource, checkLength, checkRange } from "./byteSource.ts";
import { isPlainName, type Opener } from "./sharded.ts";
import { quote } from "./strictJson.ts";

/** The largest single read; Node refuses more than 2 GiB. */
const maxReadBytes = 1 << 30;

/**
 * A file, read in place. Close it after use.
 *
 * @throws CheckpointError when it cannot be opened or is no ordinary file
 */
export async function fileSource(path: string): Promise<ByteSource> {
  const name = basename(path);
  const info = await stat(path).catch((error: unknown) => {
    throw new CheckpointError("fileSource", `${path} must be a readable file, got ${codeOf(error)}.`);
  });
  // Opening a named pipe would wait for a writer for ever.
  if (!info.isFile())
    throw new CheckpointError(
      "fileSource",
      `${path} must be a file, got ${info.isDirectory() ? "a folder" : "something else"}.`,
    );
  const file = await open(path, "r").catch((error: unknown) => {
    throw new CheckpointError("fileSource", `${path} must be a readable file, got ${codeOf(error)}.`);
  });
  const { size } = await file.stat();
  return {
    size,
    name,
    async read(offset, length) {
      checkRange(name, size, offset, length);
      const bytes = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await file.read(
          bytes,
          done,
          Math.min(length - done, maxReadBytes),
          offset + done,
        );
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return checkLength(name, offset, length, bytes.subarray(0, done));
    },
    close: () => file.close(),
  };
}

/**
 * Opens plain names in a folder, for `openCheckpoint`. Links must stay inside the folder; in the Hugging Face cache,
 * whose snapshots link to `blobs` beside them, inside that model's cache folder.
 */
export function folderOpener(folder: string): Opener {
  const snapshots = dirname(resolve(folder));
  const root = basename(snapshots) === "snapshots" ? dirname(snapshots) : folder;
  return async (name) => {
    const path = join(folder, name);
    if (!isPlainName(name))
      throw new CheckpointError("openCheckpoint", `a file name must be plain, got ${quote(name)}.`);
    if (!(await exists(path))) return undefined;
    if (!(await isInside(root, relative(root, path)))) {
      throw new CheckpointError(
        "openCheckpoint",
        `${name} must lie inside ${root}, but is a link that leads out of it.`,
      );
    }
    return fileSource(path);
  };
}

/** True when `name`, with all links followed, is something that exists in the folder or below it. */
export async function isInside(folder: string, name: string): Promise<boolean> {
  try {
    const root = await realpath(folder);
    return (await realpath(resolve(root, name))).startsWith(root.endsWith(sep) ? root : root + sep);
  } catch {
    return false;
  }
}

/** What a file shall hold. A string is written as UTF-8. */
export type FileContent = string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * Writes a file whole or not at all, even if the process is killed: a temporary file beside it, flushed to the disk,
 * then renamed over `path`. An old file at `path` stays until then. On failure the temporary file is removed.
 */
export async function writeFileAtomic(path: string, content: FileContent): Promise<void> {
  const folder = dirname(resolve(path));
  const temporary = join(folder, temporaryName(path));
  try {
    await writeFlushed(temporary, content);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await flushFolder(folder);
}

/**
 * Writes a folder whole or not at all: a temporary folder beside it, renamed when everything is on the disk.
 *
 * @param out - must not exist or be empty, unless `force`
 * @param files - contents by name; `a/b.json` makes a subfolder
 * @param options.force - replaces the old folder, with all that is in it. It is moved aside first and removed last, so
 *   one of the two exists whole at every moment. Never replaces the working or home folder or one above them.
 * @throws CheckpointError when `out` is taken
 */
export async function writeFolderAtomic(
  out: string,
  files: ReadonlyMap<string, FileContent> | Readonly<Record<string, FileContent>>,
  options: { readonly force?: boolean } = {},
): Promise<void> {
  const target = await realpath(out).catch(() => resolve(out));
  const entries = [...(files instanceof Map ? files : new Map(Object.entries(files)))];
  for (const [name] of entries) {
    if (!name.split("/").every(isPlainName))
      throw new CheckpointError("writeFolderAtomic", `a file name must be plain, got ${quote(name)}.`);
  }
  const taken = await checkTarget(out, target, options.force === true);

  const parent = dirname(target);
  await mkdir(parent, { recursive: true });
  const fresh = join(parent, temporaryName(target));
  // Where the process ends in between, for example by Ctrl-C, nothing half-written stays.
  const clean = () => rmSync(fresh, { recursive: true, force: true });
  process.once("exit", clean);
  try {
    await mkdir(fresh);
    const folders = new Set([fresh]);
    for (const [name, content] of entries) {
      const path = join(fresh, name);
      await mkdir(dirname(path), { recursive: true });
      for (let folder = dirname(path); folder !== fresh; folder = dirname(folder)) folders.add(folder);
      await writeFlushed(path, content);
    }
    for (const folder of folders) await flushFolder(folder);
    await (taken ? swap(fresh, target) : rename(fresh, target));
  } catch (error) {
    await rm(fresh, { recursive: true, force: true });
    throw error;
  } finally {
    process.off("exit", clean);
  }
  await flushFolder(parent);
}

/** True when there is a folder to be moved aside; an error when it must not be. */
async function checkTarget(out: string, target: string, force: boolean): Promise<boolean> {
  const info = await lstat(target).catch(() => undefined);
  if (info === undefined) return false;
  if (!info.isDirectory())
    throw new CheckpointError("writeFolderAtomic", `${out} must be a folder or free, got a file.`);
  const count = (await readdir(target)).length;
  if (count > 0 && !force) {
    throw new CheckpointError(
      "writeFolderAtomic",
      `${out} must be empty or free, got ${count} ${count === 1 ? "file" : "files"}. Use force to replace it.`,
    );
  }
  for (const folder of [process.cwd(), homedir()]) {
    const real = await realpath(folder).catch(() => folder);
    if (`${real}${sep}`.startsWith(target.endsWith(sep) ? target : target + sep)) {
      throw new CheckpointError(
        "writeFolderAtomic",
        `${out} must not be the working or home folder or one above them. Choose a folder of its own.`,
      );
    }
  }
  return true;
}

async function swap(fresh: string, target: string): Promise<void> {
  const old = join(dirname(target), temporaryName(target));
  await rename(target, old);
  try {
    await rename(fresh, target);
  } catch (error) {
    await rename(old, target);
    throw error;
  }
  await rm(old, { recursive: true, force: true });
}

async function writeFlushed(path: string, content: FileContent): Promise<void> {
  const file = await open(path, "wx");
  try {
    if (typeof content === "string" || content instanceof Uint8Array) await file.writeFile(content);
    else for await (const chunk of content) await writeAll(file, chunk);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    done += (await file.write(chunk, done, Math.min(chunk.length - done, maxReadBytes))).bytesWritten;
  }
}

/** Makes a rename last through a power cut. Windows cannot open folders, and does not need it. */
async function flushFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function temporaryName(path: string): string {
  return `.${basename(path)}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`;
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
