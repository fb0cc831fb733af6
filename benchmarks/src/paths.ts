import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The folder of the benchmarks, and that of the repository. */
export const benchmarksFolder = new URL("../", import.meta.url);
export const repository = new URL("../../", import.meta.url);

/** A model file that is not part of the repository, in the folder that the variable GRAFT_MODELS names. */
export function sharedModel(file: string): string {
  const folder = process.env.GRAFT_MODELS ?? fileURLToPath(new URL("../shared/models", repository));
  const path = `${folder}/${file}`;
  if (existsSync(path)) return path;
  throw new Error(`bench: ${file} must be in the folder GRAFT_MODELS, but ${folder} has none.`);
}
