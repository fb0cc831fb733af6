import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { q4_1 } from "@graft/tensor";
import * as formatRecords from "@graft/tensor/formats";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ggufFormat, ggufLayout } from "../../src/checkpoint/ggufTypes.ts";
import {
  type ByteSource,
  bytesSource,
  CheckpointError,
  openGguf,
  readableGgufTypes,
} from "../../src/checkpoint/index.ts";
import { fileSource } from "../../src/checkpoint/node.ts";
import { ggufBytes, type Plan, type Tensor, type Value } from "./ggufBytes.ts";

const weights: Tensor = { name: "w", dims: [4, 2], type: 0, bytes: new Uint8Array(32).fill(7) };

function u32(value: number): Value {
  return { type: "u32", value };
}

describe("laws", () => {
  const scalar: fc.Arbitrary<Value> = fc.oneof(
    fc.record({ type: fc.constant("u8" as const), value: fc.nat(255) }),
    fc.record({ type: fc.constant("i8" as const), value: fc.integer({ min: -128, max: 127 }) }),
    fc.record({ type: fc.constant("u16" as const), value: fc.nat(65535) }),
    fc.record({ type: fc.constant("i16" as const), value: fc.integer({ min: -32768, max: 32767 }) }),
    fc.record({ type: fc.constant("u32" as const), value: fc.nat(2 ** 32 - 1) }),
    fc.record({ type: fc.constant("i32" as const), value: fc.integer() }),
    fc.record({ type: fc.constant("f32" as const), value: fc.float() }),
    fc.record({ type: fc.constant("f64" as const), value: fc.double() }),
    fc.record({ type: fc.constant("bool" as const), value: fc.boolean() }),
    fc.record({ type: fc.constant("string" as const), value: fc.string({ unit: "binary" }) }),
    fc.record({ type: fc.constant("u64" as const), value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) }),
    fc.record({
      type: fc.constant("i64" as const),
      value: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    }),
  );
  const array: fc.Arbitrary<Value> = fc
    .array(scalar, { minLength: 1, maxLength: 8 })
    .map((items) => items.filter(({ type }) => type === items[0].type))
    .map((items) => ({ type: "array", of: items[0].type, value: items }));
  const tensor: fc.Arbitrary<Tensor> = fc
    .record({
      name: fc.string({ unit: "grapheme", maxLength: 8 }),
      dims: fc.array(fc.nat(3), { maxLength: 3 }),
      id: fc.constantFrom(0, 1, 2, 3, 8, 12, 14, 30),
    })
    .chain(({ name, dims, id }) => {
      const layout = ggufLayout(id);
      if (layout === undefined) throw new Error(`no type ${id}`);
      const { blockSize, blockBytes } = layout;
      const size =
        (blockSize === 1 ? dims : [1, ...dims]).reduce((product, n) => product * n, 1) * blockBytes;
      const fill = fc.uint8Array({ minLength: size, maxLength: size });
      return fill.map((bytes) => ({
        name,
        dims: blockSize === 1 ? dims : [blockSize, ...dims],
        type: id,
        bytes,
      }));
    });

  function plain(value: Value): unknown {
    if (value.type === "array") return value.value.map(plain);
    if (typeof value.value === "bigint")
      return Number.isSafeInteger(Number(value.value)) ? Number(value.value) : value.value;
    return value.value;
  }

  test("what is written is read, for every type and alignment", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.tuple(fc.string({ unit: "grapheme", maxLength: 8 }), fc.oneof(scalar, array)), {
          selector: ([key]) => key,
        }),
        fc.uniqueArray(tensor, { maxLength: 4, selector: ({ name }) => name }),
        fc.constantFrom(2, 3),
        fc.constantFrom(8, 32, 64),
        async (keys, tensors, version, alignment) => {
          const all: [string, Value][] = [...keys, ["general.alignment", u32(alignment)]];
          const file = await openGguf(bytesSource(ggufBytes({ version, alignment, keys: all, tensors })));
          expect(file).toMatchObject({ version, alignment });
          for (const [key, value] of keys) {
            const read = file.metadata.get(key);
            expect(ArrayBuffer.isView(read) ? Array.from(read as Float64Array) : read).toEqual(plain(value));
          }
          for (const { name, dims, bytes } of tensors) {
            const found = file.tensors.get(name);
            expect(found).toMatchObject({ shape: [...dims].reverse(), size: bytes.length });
            if (found && readableGgufTypes.includes(found.type))
              expect(await file.readBytes(name)).toEqual(bytes);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  test("every weight format is a readable type with the same block", () => {
    const layouts = Array.from({ length: 64 }, (_, id) => ggufLayout(id));
    const readable = layouts.filter((layout) => layout && readableGgufTypes.includes(layout.type));
    expect(readable.map((layout) => layout?.type.toLowerCase()).sort()).toEqual(
      Object.values(formatRecords)
        .map(({ name }) => name)
        .sort(),
    );
    for (const layout of readable)
      expect(layout && ggufFormat(layout.type), layout?.type).toMatchObject({
        blockSize: layout?.blockSize,
        blockBytes: layout?.blockBytes,
      });
  });
});

describe("refused, word for word", () => {
  const w = 'tensor "w"';
  const string: Value = { type: "string", value: "x" };
  test.each<[Plan, string]>([
    [{ magic: "GGML" }, 'the file must begin with GGUF, got "GGML".'],
    [{ version: 1 }, "the version must be 2 or 3, got 1."],
    [{ version: 0x03000000 }, "the version must be 2 or 3, got 50331648, which is big-endian."],
    [{ tensorCount: 2n ** 63n }, "the number of tensors must be at most 100000, got 9223372036854775808."],
    [{ tensorCount: 5000n }, "the number of tensors must fit in the remaining 16 bytes, got 5000."],
    [{ keyCount: 2n }, "the number of metadata keys must fit in the remaining 8 bytes, got 2."],
    [
      {
        keys: [
          ["a", u32(1)],
          ["a", u32(1)],
        ],
      },
      'metadata "a" must be there once, got it twice.',
    ],
    [
      { keys: [["general.alignment", u32(24)]] },
      "general.alignment must be a power of two up to 65536, got 24.",
    ],
    [
      { keys: [["general.alignment", u32(0)]] },
      "general.alignment must be a power of two up to 65536, got 0.",
    ],
    [
      { keys: [["general.alignment", string]] },
      "general.alignment must be a power of two up to 65536, got x.",
    ],
    [
      { keys: [["a", { type: "array", of: "array", value: [] }]] },
      'metadata "a": the items must be numbers, booleans or strings, got an array.',
    ],
    [{ tensors: [weights, weights] }, `${w} must be there once, got it twice.`],
    [{ tensors: [{ ...weights, dims: [4, 2, 1, 1, 1] }] }, `${w}: it must have at most 4 axes, got 5.`],
    [
      { tensors: [{ ...weights, dims: [-1n] }] },
      `${w}: its sizes must be below 2^53, got 18446744073709551615.`,
    ],
    [
      { tensors: [{ ...weights, dims: [2 ** 32, 2 ** 32] }] },
      `${w}: it must have fewer than 2^53 values, got [4294967296, 4294967296].`,
    ],
    [
      { tensors: [{ ...weights, dims: [2 ** 52] }] },
      `${w}: it must have fewer than 2^53 bytes, got [4503599627370496] F32.`,
    ],
    [{ tensors: [{ ...weights, type: 4 }] }, `${w}: its type must be one that GGUF defines, got 4.`],
    [
      { tensors: [{ ...weights, type: 2 }] },
      `${w}: its rows must be a multiple of 32 values for Q4_0, got 4.`,
    ],
    [
      { tensors: [{ ...weights, type: 2, dims: [] }] },
      `${w}: its rows must be a multiple of 32 values for Q4_0, got 1.`,
    ],
    [
      { tensors: [{ ...weights, offset: 32n }] },
      `${w}: its offset must be 0, where the one before it ends, got 32.`,
    ],
    [
      { tensors: [{ ...weights, dims: [4, 2, 100] }] },
      `${w} must end inside the file of 128 bytes, got 3296. Was the download cut off?`,
    ],
    [
      { tensors: [{ ...weights, name: "n".repeat(64) }] },
      "the length of the name of tensor 0 must be at most 63, got 64.",
    ],
  ])("%#", async (plan, message) => {
    await expect(openGguf(bytesSource(ggufBytes(plan), "x.gguf"))).rejects.toEqual(
      new CheckpointError("openGguf", `x.gguf: ${message}`),
    );
  });

  test.each<[number, number[], string]>([
    // The key of the only entry is one byte at 32; its type begins at 33.
    [33, [13], 'metadata "a": its type must be 0 to 12, got 13.'],
    [24, [255, 255, 255], "the length of metadata key 0 must be at most 65535, got 16777215."],
    [24, [200], "the length of metadata key 0 must fit in the remaining 32 bytes, got 200."],
    [32, [255], 'metadata key 0 must be UTF-8, got "ÿ".'],
    [33, [7, 0, 0, 0, 2], 'metadata "a": a boolean must be 0 or 1, got 2.'],
  ])("patched at %i with %j", async (at, patch, message) => {
    const file = ggufBytes({ keys: [["a", { type: "u64", value: 0n }]] });
    file.set(patch, at);
    await expect(openGguf(bytesSource(file, "x"))).rejects.toEqual(
      new CheckpointError("openGguf", `x: ${message}`),
    );
  });

  test("an empty and a cut file", async () => {
    await expect(openGguf(bytesSource(new Uint8Array(0), "x"))).rejects.toEqual(
      new CheckpointError("openGguf", "x: the file ends inside the magic number."),
    );
    const cut = ggufBytes({ keys: [["abcdef", u32(1)]] }).subarray(0, 39);
    await expect(openGguf(bytesSource(cut, "x"))).rejects.toEqual(
      new CheckpointError("openGguf", 'x: the file ends inside the type of metadata "abcdef".'),
    );
  });

  test("types that cannot be decoded can be listed, but not read", async () => {
    const bytes = new Uint8Array(176);
    const file = await openGguf(
      bytesSource(ggufBytes({ tensors: [{ name: "w", dims: [256], type: 13, bytes }] }), "x"),
    );
    expect(file.tensors.get("w")).toMatchObject({ type: "Q5_K", shape: [256], size: 176 });
    await expect(file.readBytes("w")).rejects.toEqual(
      new CheckpointError(
        "readBytes",
        'tensor "w" must be F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q6_K or BF16, got Q5_K. Take a Q4_0, Q8_0 or F16 file of this model.',
      ),
    );
    await expect(file.readBytes("v")).rejects.toEqual(
      new CheckpointError("readBytes", 'tensor "v" is not in x.'),
    );
  });
});

test.each<[string, Plan]>([
  ["a key", { keyCount: 1n << 60n }],
  ["tensors", { tensorCount: 1n << 60n }],
  ["the number of items", { keys: [["a", { type: "array", of: "string", value: [] }]] }],
  ["a tensor", { tensors: [{ ...weights, dims: [1 << 30, 1 << 22] }] }],
])("a huge claim of %s is refused from the first piece of a huge file", async (_, plan) => {
  const start = ggufBytes(plan);
  if (plan.keys) new DataView(start.buffer).setBigUint64(41, 1n << 40n, true);
  const reads: number[] = [];
  const sparse: ByteSource = {
    size: 2 ** 44,
    name: "x",
    async read(offset, length) {
      reads.push(length);
      const bytes = new Uint8Array(length);
      bytes.set(start.subarray(offset, offset + length));
      return bytes;
    },
  };
  const started = performance.now();
  await expect(openGguf(sparse)).rejects.toBeInstanceOf(CheckpointError);
  expect(performance.now() - started).toBeLessThan(50);
  expect(reads).toEqual([262_144]);
});

test("only the header is read, in growing pieces", async () => {
  const tokens: Value[] = Array.from({ length: 40_000 }, (_, i) => ({ type: "string", value: `token ${i}` }));
  const data: Tensor = { name: "w", dims: [1 << 18], type: 0, bytes: new Uint8Array(1 << 20) };
  const inner = bytesSource(
    ggufBytes({ keys: [["tokens", { type: "array", of: "string", value: tokens }]], tensors: [data] }),
  );
  const reads: number[] = [];
  const file = await openGguf({
    ...inner,
    read(offset, length) {
      reads.push(length);
      return inner.read(offset, length);
    },
  });
  expect(file.metadata.get("tokens")).toHaveLength(40_000);
  expect(reads).toEqual([262_144, 786_432]);
});

const goldenModels = new URL("../../../../tools/golden/data/gguf_models/", import.meta.url);

test("files of the gguf package are read", async () => {
  const names = readdirSync(goldenModels).filter((name) => name.endsWith(".gguf"));
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) {
    const file = await openGguf(bytesSource(new Uint8Array(readFileSync(new URL(name, goldenModels))), name));
    expect(file.metadata.has("general.architecture"), name).toBe(true);
    for (const key of file.tensors.keys()) await file.readBytes(key);
  }
});

const models =
  process.env.GRAFT_MODELS ?? fileURLToPath(new URL("../../../../../shared/models", import.meta.url));
const real = `${models}/SmolLM2-135M-Instruct.Q4_1.gguf`;
if (!existsSync(real))
  console.log("gguf: no SmolLM2 file in GRAFT_MODELS, so the test on it is not registered");
else {
  test("SmolLM2-135M: header and one tensor", async () => {
    const file = await openGguf(await fileSource(real));
    try {
      expect(file.metadata.get("general.architecture")).toBe("llama");
      expect(file.metadata.get("llama.block_count")).toBe(30);
      expect(file.metadata.get("tokenizer.ggml.tokens")).toHaveLength(49_152);
      const query = file.tensors.get("blk.0.attn_q.weight");
      expect(query).toMatchObject({ type: "Q4_1", shape: [576, 576] });
      const bytes = await file.readBytes("blk.0.attn_q.weight");
      q4_1.validate(bytes);
      const values = new Float32Array(576 * 576);
      q4_1.decode(bytes, values.length, values);
      const size = Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length);
      expect(size).toBeGreaterThan(0.01);
      expect(size).toBeLessThan(1);
    } finally {
      await file.close();
    }
  });
}
