// Small files of a model folder: read whole, with a cap, and no further than what a plain name inside the folder says.
import { folderOpener } from "@graft/nn/node";
import { GraftError, quote } from "../errors.ts";
import { isObject, type JsonObject, kindOf } from "../json.ts";

/** Tokenizers of 300,000 tokens take 40 MB. */
const LARGEST = 256 * 1024 * 1024;

/** The bytes of a file of the folder; undefined where there is none. */
export async function readSmallFile(folder: string, name: string): Promise<Uint8Array | undefined> {
  const source = await folderOpener(folder)(name);
  if (source === undefined) return undefined;
  try {
    if (source.size > LARGEST) {
      throw new GraftError(
        `model: ${quote(name)} must be at most ${LARGEST} bytes long, got ${source.size}. Copy it again from where the model came from.`,
      );
    }
    return await source.read(0, source.size);
  } finally {
    await source.close?.();
  }
}

/** The object that a JSON file of the folder holds; undefined where there is no such file. */
export async function readJsonFile(folder: string, name: string): Promise<JsonObject | undefined> {
  const bytes = await readSmallFile(folder, name);
  if (bytes === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new GraftError(
      `model: ${quote(name)} must be JSON, got something else (${reason}). Copy it again from where the model came from.`,
      { cause: error },
    );
  }
  if (!isObject(value)) {
    throw new GraftError(
      `model: ${quote(name)} must hold an object, got ${kindOf(value)}. Copy it again from where the model came from.`,
    );
  }
  return value;
}
