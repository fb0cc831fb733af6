import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

import {
  bytesSource,
  CheckpointError,
  isPlainName,
  type Opener,
  openCheckpoint,
  refusePickle,
  serializeSafetensors,
} from "../../src/checkpoint/index.ts";

const indexName = "model.safetensors.index.json";

function shard(...names: string[]): Uint8Array {
  return serializeSafetensors(
    names.map((name) => ({ name, dtype: "U8", shape: [1], bytes: Uint8Array.of(name.charCodeAt(0)) })),
    { from: names.join() },
  );
}

function index(map: Record<string, string>): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ metadata: { total_size: 1e300 }, weight_map: map }));
}

/** A folder in memory that counts what is open. */
function folder(files: Record<string, Uint8Array | string>): { open: Opener; openNow: () => number } {
  let openNow = 0;
  const open: Opener = async (name) => {
    if (!Object.hasOwn(files, name)) return undefined;
    const content = files[name];
    openNow++;
    const source = bytesSource(
      typeof content === "string" ? new TextEncoder().encode(content) : content,
      name,
    );
    return {
      ...source,
      close: async () => {
        openNow--;
      },
    };
  };
  return { open, openNow: () => openNow };
}

const good = {
  [indexName]: index({ a: "1.safetensors", b: "2.safetensors", c: "1.safetensors" }),
  "1.safetensors": shard("a", "c"),
  "2.safetensors": shard("b"),
};

test("tensors of all shards are read by name, and close closes all", async () => {
  const { open, openNow } = folder(good);
  const checkpoint = await openCheckpoint(open);
  expect([...checkpoint.tensors.keys()].sort()).toEqual(["a", "b", "c"]);
  for (const name of checkpoint.tensors.keys()) {
    expect(await checkpoint.readBytes(name)).toEqual(Uint8Array.of(name.charCodeAt(0)));
  }
  await expect(checkpoint.readBytes("d")).rejects.toEqual(
    new CheckpointError("readBytes", 'tensor "d" is not in the index.'),
  );
  expect(openNow()).toBe(2);
  await checkpoint.close();
  expect(openNow()).toBe(0);
});

test("a single file comes first, under the stem that was asked for", async () => {
  const { open } = folder({
    ...good,
    "model.safetensors": shard("z"),
    "adapter_model.safetensors": shard("y"),
  });
  expect([...(await openCheckpoint(open)).tensors.keys()]).toEqual(["z"]);
  expect([...(await openCheckpoint(open, "adapter_model")).tensors.keys()]).toEqual(["y"]);
});

test("a model that transformers sharded is read", async () => {
  const golden = new URL("../../../../tools/golden/data/models/sharded/", import.meta.url);
  const names = readdirSync(golden);
  const { open } = folder(
    Object.fromEntries(names.map((name) => [name, new Uint8Array(readFileSync(new URL(name, golden)))])),
  );
  const checkpoint = await openCheckpoint(open);
  expect(checkpoint.tensors.has("model.embed_tokens.weight")).toBe(true);
  for (const name of checkpoint.tensors.keys()) await checkpoint.readBytes(name);
});

describe("refused, word for word, and nothing stays open", () => {
  const pickle = (name: string): string =>
    `weights must be safetensors, got "${name}", a pickle file, which can run code when it is loaded. ` +
    "Convert it once in Python with torch.load(file, weights_only=True) and safetensors.torch.save_file, " +
    "or on the hub with the space safetensors/convert.";

  test.each<[Record<string, Uint8Array | string>, string]>([
    [{}, "the folder must have model.safetensors or model.safetensors.index.json, found neither."],
    [{ "pytorch_model.bin": "" }, pickle("pytorch_model.bin")],
    [{ "pytorch_model.bin.index.json": "" }, pickle("pytorch_model.bin")],
    [{ "model.ckpt": "" }, pickle("model.ckpt")],
    [{ [indexName]: "{" }, `${indexName}: the index must be JSON, but it ends early.`],
    [{ [indexName]: Uint8Array.of(0xff) }, `${indexName}: the index must be UTF-8.`],
    [{ [indexName]: "{}" }, `${indexName}: weight_map must be an object with tensors, got nothing.`],
    [
      { [indexName]: '{"weight_map":[1]}' },
      `${indexName}: weight_map must be an object with tensors, got [1].`,
    ],
    [
      { [indexName]: '{"weight_map":{"a":"1","a":"2"}}' },
      `${indexName}: the index must not have the key "a" twice.`,
    ],
    [
      { [indexName]: index({ a: "../1.safetensors" }) },
      `${indexName}: tensor "a": its shard must be a plain name ending in .safetensors, got "../1.safetensors".`,
    ],
    [
      { [indexName]: index({ a: "1.bin" }) },
      `${indexName}: tensor "a": its shard must be a plain name ending in .safetensors, got "1.bin".`,
    ],
    [{ ...good, "2.safetensors": "x" }, "2.safetensors: the file must be at least 8 bytes long, got 1."],
    [
      { [indexName]: index({ a: "1.safetensors", b: "3.safetensors" }), "1.safetensors": shard("a") },
      "shard 3.safetensors must be beside the index, but is missing.",
    ],
    [
      { ...good, "1.safetensors": shard("a", "b", "x") },
      "3 problems" +
        '\n  "b": in 1.safetensors, but the index says 2.safetensors' +
        '\n  "c": missing in 1.safetensors' +
        '\n  "x": in 1.safetensors, but the index says nothing',
    ],
    [
      Object.fromEntries([
        [
          indexName,
          index(Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`t${i}`, `${i}.safetensors`]))),
        ],
      ]),
      "there must be at most 1000 shards, got 1001.",
    ],
  ])("%#", async (files, message) => {
    const { open, openNow } = folder(files);
    const who = message.startsWith("2.safetensors") ? "openSafetensors" : "openCheckpoint";
    await expect(openCheckpoint(open)).rejects.toEqual(new CheckpointError(who, message));
    expect(openNow()).toBe(0);
  });

  test.each(["model.bin", "x.PT", "a/b.pth", "x.ckpt"])("%s by its name", (name) => {
    expect(() => refusePickle(name)).toThrow(new CheckpointError("openCheckpoint", pickle(name)));
  });
  test("other names are left alone", () => {
    for (const name of ["model.safetensors", "x.gguf", "bin", "x.bin.safetensors"]) refusePickle(name);
  });
});

test("plain names", () => {
  for (const name of ["model-00001-of-00002.safetensors", "a", "A_b.c", "a..b"])
    expect(isPlainName(name), name).toBe(true);
  const bad = [
    "",
    ".",
    "..",
    ".hidden",
    "a/b",
    "a\\b",
    "/a",
    "C:a",
    "a\0",
    "%2e%2e",
    "a b",
    "é",
    "a\n",
    "a".repeat(256),
  ];
  for (const name of bad) expect(isPlainName(name), name).toBe(false);
});
