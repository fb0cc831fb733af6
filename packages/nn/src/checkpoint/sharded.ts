import { CheckpointError } from "../errors.ts";
import { type ByteSource, readExactly } from "./byteSource.ts";
import { openSafetensors, type SafetensorsFile } from "./safetensors.ts";
import type { SafetensorsEntry } from "./safetensorsHeader.ts";
import { parseStrictJson, quote, show } from "./strictJson.ts";

/** Opens a file of the folder by its plain name; undefined when there is none. */
export type Opener = (name: string) => Promise<ByteSource | undefined>;

export const shardLimits = { indexBytes: 32 * 1024 * 1024, shards: 1000 } as const;

const pickle = /\.(?:bin|pt|pth|ckpt)$/i;

/**
 * Opens the weights of a model folder: `model.safetensors`, or the shards that `model.safetensors.index.json` names.
 * All headers are read and checked: every tensor must be in exactly the shard that the index gives.
 *
 * @param stem - `"adapter_model"` for a PEFT adapter
 * @throws CheckpointError for broken files, and for a folder that has pickle files only
 */
export async function openCheckpoint(open: Opener, stem = "model"): Promise<SafetensorsFile> {
  const single = await open(`${stem}.safetensors`);
  if (single !== undefined) return openOrClose(single);
  const index = await open(`${stem}.safetensors.index.json`);
  if (index !== undefined) return openShards(open, await readShardIndex(index));
  for (const name of [
    `${stem}.bin`,
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    `${stem}.pt`,
    `${stem}.pth`,
    `${stem}.ckpt`,
  ]) {
    const found = await open(name);
    if (found === undefined) continue;
    await found.close?.();
    refusePickle(name.replace(".index.json", ""));
  }
  throw new CheckpointError(
    "openCheckpoint",
    `the folder must have ${stem}.safetensors or ${stem}.safetensors.index.json, found neither.`,
  );
}

/**
 * Refuses names that say pickle (.bin, .pt, .pth, .ckpt): unpickling runs code that the file brings.
 *
 * @throws CheckpointError naming a safe conversion
 */
export function refusePickle(name: string): void {
  if (!pickle.test(name)) return;
  throw new CheckpointError(
    "openCheckpoint",
    `weights must be safetensors, got ${quote(name)}, a pickle file, which can run code when it is loaded. ` +
      "Convert it once in Python with torch.load(file, weights_only=True) and safetensors.torch.save_file, " +
      "or on the hub with the space safetensors/convert.",
  );
}

/**
 * True for a plain file name of the ASCII letters, digits, `.`, `_` and `-`: no folder, drive, `..`, hidden file,
 * percent sign or NUL can be said with those.
 */
export function isPlainName(name: string): boolean {
  return name.length <= 255 && /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(name);
}

/** Reads an index file: tensor name → name of its shard. Closes the source. `total_size` is not trusted, so not read. */
async function readShardIndex(source: ByteSource): Promise<ReadonlyMap<string, string>> {
  const fail = (problem: string): Error =>
    new CheckpointError("openCheckpoint", `${source.name}: ${problem}.`);
  try {
    if (source.size > shardLimits.indexBytes)
      throw fail(`the index must be at most ${shardLimits.indexBytes} bytes long, got ${source.size}`);
    const bytes = await readExactly(source, 0, source.size);
    let text: string;
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      throw fail("the index must be UTF-8");
    }
    const root = parseStrictJson(text, (problem) => fail(`the index ${problem}`));
    const map = root instanceof Map ? root.get("weight_map") : undefined;
    if (!(map instanceof Map) || map.size === 0)
      throw fail(`weight_map must be an object with tensors, got ${show(map)}`);
    const files = new Map<string, string>();
    for (const [tensor, file] of map) {
      if (typeof file !== "string" || !isPlainName(file) || !file.endsWith(".safetensors")) {
        throw fail(
          `tensor ${quote(tensor)}: its shard must be a plain name ending in .safetensors, got ${show(file)}`,
        );
      }
      files.set(tensor, file);
    }
    return files;
  } finally {
    await source.close?.();
  }
}

async function openShards(open: Opener, fileOf: ReadonlyMap<string, string>): Promise<SafetensorsFile> {
  const names = [...new Set(fileOf.values())].sort();
  if (names.length > shardLimits.shards) {
    throw new CheckpointError(
      "openCheckpoint",
      `there must be at most ${shardLimits.shards} shards, got ${names.length}.`,
    );
  }
  const shards = new Map<string, SafetensorsFile>();
  const close = async (): Promise<void> => {
    for (const shard of shards.values()) await shard.close();
  };
  try {
    for (const name of names) {
      const source = await open(name);
      if (source === undefined)
        throw new CheckpointError(
          "openCheckpoint",
          `shard ${name} must be beside the index, but is missing.`,
        );
      shards.set(name, await openOrClose(source));
    }
    checkPlaces(shards, fileOf);
  } catch (error) {
    await close();
    throw error;
  }

  const tensors = new Map<string, SafetensorsEntry>();
  const metadata = new Map<string, string>();
  for (const shard of shards.values()) {
    for (const [name, entry] of shard.tensors) tensors.set(name, entry);
    for (const [key, text] of shard.metadata) metadata.set(key, text);
  }
  return {
    name: "model.safetensors.index.json",
    metadata,
    tensors,
    async readBytes(name) {
      const shard = shards.get(fileOf.get(name) ?? "");
      if (shard === undefined)
        throw new CheckpointError("readBytes", `tensor ${quote(name)} is not in the index.`);
      return shard.readBytes(name);
    },
    close,
  };
}

/** Every mapped tensor is in its shard, and no shard holds a tensor that is mapped elsewhere or nowhere. */
function checkPlaces(
  shards: ReadonlyMap<string, SafetensorsFile>,
  fileOf: ReadonlyMap<string, string>,
): void {
  const problems: string[] = [];
  for (const [tensor, file] of fileOf) {
    if (shards.get(file)?.tensors.has(tensor) !== true) problems.push(`${quote(tensor)}: missing in ${file}`);
  }
  for (const [file, shard] of shards) {
    for (const tensor of shard.tensors.keys()) {
      const expected = fileOf.get(tensor);
      if (expected !== file)
        problems.push(`${quote(tensor)}: in ${file}, but the index says ${expected ?? "nothing"}`);
    }
  }
  if (problems.length === 0) return;
  const shown = problems
    .sort()
    .slice(0, 20)
    .map((line) => `\n  ${line}`);
  const rest = problems.length > 20 ? `\n  and ${problems.length - 20} more` : "";
  throw new CheckpointError(
    "openCheckpoint",
    `${problems.length} ${problems.length === 1 ? "problem" : "problems"}${shown.join("")}${rest}`,
  );
}

async function openOrClose(source: ByteSource): Promise<SafetensorsFile> {
  try {
    return await openSafetensors(source);
  } catch (error) {
    await source.close?.();
    throw error;
  }
}
