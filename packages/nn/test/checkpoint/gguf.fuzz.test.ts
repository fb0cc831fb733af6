import { expect, test } from "vitest";

import { bytesSource, type GgufFile, openGguf, readableGgufTypes } from "../../src/checkpoint/index.ts";
import { judge, mutateBytes, type Random, random } from "./fuzz.ts";
import { ggufBytes, type Plan, type Value } from "./ggufBytes.ts";

function text(value: string): Value {
  return { type: "string", value };
}

const plan: Plan = {
  keys: [
    ["general.architecture", text("llama")],
    ["general.alignment", { type: "u32", value: 32 }],
    ["llama.block_count", { type: "u64", value: 2n }],
    ["llama.eps", { type: "f32", value: 1e-5 }],
    ["tied", { type: "bool", value: true }],
    ["tokens", { type: "array", of: "string", value: ["<s>", "é", "", "a".repeat(40)].map(text) }],
    ["scores", { type: "array", of: "f32", value: [1, 2, 3].map((value) => ({ type: "f32", value })) }],
    ["ids", { type: "array", of: "i64", value: [1n, -2n].map((value) => ({ type: "i64", value })) }],
    ["flags", { type: "array", of: "bool", value: [{ type: "bool", value: false }] }],
  ],
  tensors: [
    { name: "token_embd.weight", dims: [32, 2], type: 3, bytes: new Uint8Array(40) },
    { name: "blk.0.attn_norm.weight", dims: [5], type: 0, bytes: new Uint8Array(20) },
    { name: "blk.0.ffn_down.weight", dims: [256], type: 12, bytes: new Uint8Array(144) },
    { name: "none", dims: [32, 0], type: 8, bytes: new Uint8Array(0) },
  ],
};
const seed = ggufBytes(plan);

const run = (bytes: Uint8Array): Promise<GgufFile> => openGguf(bytesSource(bytes));

/** What was accepted lies inside the file without overlap, and its sizes agree with its shapes. */
async function isSound(file: GgufFile, bytes: Uint8Array): Promise<void> {
  let end = file.dataOffset;
  for (const [name, tensor] of file.tensors) {
    expect(tensor.offset).toBeGreaterThanOrEqual(end);
    expect(tensor.offset % file.alignment).toBe(0);
    end = tensor.offset + tensor.size;
    expect(end).toBeLessThanOrEqual(bytes.length);
    expect(tensor.shape.length).toBeLessThanOrEqual(4);
    if (readableGgufTypes.includes(tensor.type))
      expect((await file.readBytes(name)).length).toBe(tensor.size);
  }
  for (const value of file.metadata.values()) if (value === undefined) expect.fail("a hole in the metadata");
}

function* times(count: number, make: (random: Random) => Uint8Array, salt: number): Generator<Uint8Array> {
  const source = random(salt);
  for (let i = 0; i < count; i++) yield make(source);
}

test("the unchanged file is accepted", async () => {
  expect(await judge([seed], run, isSound)).toEqual({ accepted: 1, refused: 0 });
});

test("changed bytes anywhere in the header", async () => {
  const { dataOffset } = await run(seed);
  const counts = await judge(
    times(40_000, (source) => mutateBytes(seed, source, dataOffset), 1),
    run,
    isSound,
  );
  expect(counts.accepted).toBeGreaterThan(100);
  expect(counts.refused).toBeGreaterThan(10_000);
});

test("every bit of the header flipped in turn", async () => {
  const { dataOffset } = await run(seed);
  function* flips(): Generator<Uint8Array> {
    for (let bit = 0; bit < dataOffset * 8; bit++) {
      const bytes = seed.slice();
      bytes[bit >>> 3] ^= 1 << (bit & 7);
      yield bytes;
    }
  }
  await judge(flips(), run, isSound);
});

const sizes = [
  0,
  1,
  2,
  31,
  32,
  33,
  256,
  2 ** 20,
  2 ** 31,
  2 ** 32,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 61n,
  2n ** 63n,
  -1n,
];

test("changed structure: counts, shapes, types, offsets, doubled and missing entries", async () => {
  const make = (source: Random): Uint8Array => {
    const { below, pick } = source;
    const keys = (plan.keys ?? []).filter(() => below(8) > 0);
    if (below(6) === 0) keys.push(pick(plan.keys ?? []));
    const tensors = (plan.tensors ?? [])
      .filter(() => below(8) > 0)
      .map((tensor) => ({
        ...tensor,
        dims: below(6) === 0 ? Array.from({ length: below(7) }, () => pick(sizes)) : tensor.dims,
        type: below(8) === 0 ? below(42) : tensor.type,
        offset: below(8) === 0 ? BigInt(pick(sizes)) : undefined,
        name: below(16) === 0 ? pick(["", "none", "n".repeat(64), "__proto__"]) : tensor.name,
      }));
    return ggufBytes({
      keys,
      tensors,
      version: below(16) === 0 ? below(5) : 3,
      alignment: pick([32, 32, 32, 16]),
      tensorCount: below(12) === 0 ? BigInt(pick(sizes)) : undefined,
      keyCount: below(12) === 0 ? BigInt(pick(sizes)) : undefined,
    });
  };
  const counts = await judge(times(10_000, make, 2), run, isSound);
  expect(counts.accepted).toBeGreaterThan(100);
});

test("truncations never read beyond the end", async () => {
  const cuts = Array.from({ length: seed.length }, (_, i) => seed.slice(0, i));
  const counts = await judge(cuts, run, isSound);
  // Only padding after the last tensor, which is empty here, may be missing.
  expect(counts.accepted).toBeLessThanOrEqual(32);
});
