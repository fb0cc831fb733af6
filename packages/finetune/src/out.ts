import { access, constants, lstat, readdir, realpath, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, resolve, sep } from "node:path";
import { GraftError, quote } from "./errors.ts";

/**
 * Looks before any work is done whether a folder can be written at `out`; the writing itself looks again.
 * @param who - the verb, for messages
 * @param force - replace a folder that is not empty
 * @param inputs - what is read and must therefore not be replaced: model, adapter, data
 * @throws GraftError where it is taken, holds one of the inputs or lies where nothing can be written
 */
export async function checkOut(
  who: string,
  out: string,
  force: boolean,
  inputs: readonly string[] = [],
): Promise<void> {
  const shown = quote(out, 200);
  const info = await lstat(out).catch(() => undefined);
  if (info !== undefined && !info.isDirectory() && !info.isSymbolicLink()) {
    throw new GraftError(`${who}: --out ${shown} must be a folder or free, got a file. Choose another name.`);
  }
  const names = await readdir(out).catch(() => []);
  if (names.length > 0 && !force) {
    throw new GraftError(
      `${who}: --out ${shown} must be empty or free, got a folder with ${names.length} ${names.length === 1 ? "file" : "files"}. Choose another folder, or use --force to replace it.`,
    );
  }
  const target = await realpath(out).catch(() => resolve(out));
  for (const input of inputs) {
    const real = await realpath(input).catch(() => resolve(input));
    if (real === target || real.startsWith(target.endsWith(sep) ? target : target + sep)) {
      throw new GraftError(
        `${who}: --out ${shown} must not replace what is read, got the folder of ${quote(input, 200)}. Choose another folder.`,
      );
    }
  }
  // Replacing one of these would pull it away from under the shell; the writing refuses it too, but only after the work.
  for (const folder of info === undefined ? [] : [process.cwd(), homedir()]) {
    const real = await realpath(folder).catch(() => folder);
    if (`${real}${sep}`.startsWith(target.endsWith(sep) ? target : target + sep)) {
      throw new GraftError(
        `${who}: --out ${shown} must not be the working or home folder or one above them. Choose a folder of its own.`,
      );
    }
  }
  const parent = await nearestFolder(dirname(target));
  const mayWrite = await access(parent, constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!mayWrite || !(await stat(parent)).isDirectory()) {
    throw new GraftError(
      `${who}: --out ${shown} must lie in a folder that can be written, but ${quote(parent, 200)} is none. Choose another place.`,
    );
  }
}

async function nearestFolder(path: string): Promise<string> {
  const found = await lstat(path).catch(() => undefined);
  return found !== undefined || dirname(path) === path ? path : nearestFolder(dirname(path));
}
