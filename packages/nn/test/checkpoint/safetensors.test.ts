import { readdirSync, readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import {
  byteLengthOf,
  bytesSource,
  CheckpointError,
  openSafetensors,
  type SafetensorsDtype,
  type SafetensorsTensor,
  safetensorsChunks,
  serializeSafetensors,
} from "../../src/checkpoint/index.ts";

const dtypes: SafetensorsDtype[] = ["BOOL", "F4", "F6_E2M3", "F6_E3M2", "U8", "I8", "F8_E5M2", "F8_E4M3"];
dtypes.push("F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I16", "U16", "F16", "BF16", "I32", "U32", "F32");
dtypes.push("C64", "F64", "I64", "U64");

const nameArbitrary = fc
  .oneof(
    fc.string({ unit: "binary", maxLength: 12 }),
    fc.constantFrom("a", "é", "constructor", "toString", "\u{10ffff}", "\uffff"),
  )
  .filter((name) => name !== "__metadata__" && name !== "__proto__");

const tensorArbitrary: fc.Arbitrary<SafetensorsTensor> = fc
  .tuple(nameArbitrary, fc.constantFrom(...dtypes), fc.array(fc.nat(4), { maxLength: 4 }))
  .filter(([, dtype, shape]) => byteLengthOf(dtype, shape) !== undefined)
  .chain(([name, dtype, shape]) => {
    const length = byteLengthOf(dtype, shape) ?? 0;
    const bytes = fc.uint8Array({ minLength: length, maxLength: length });
    return bytes.map((data) => ({ name, dtype, shape, bytes: data }));
  });

const tensorsArbitrary = fc.uniqueArray(tensorArbitrary, { maxLength: 6, selector: ({ name }) => name });
const metadataArbitrary = fc.dictionary(nameArbitrary, fc.string({ unit: "binary", maxLength: 12 }), {
  maxKeys: 4,
});

describe("laws", () => {
  test("writing and reading is the identity, whole and in pieces", async () => {
    await fc.assert(
      fc.asyncProperty(tensorsArbitrary, metadataArbitrary, async (tensors, metadata) => {
        const file = serializeSafetensors(tensors, metadata);
        const read = await openSafetensors(bytesSource(file));
        expect(Object.fromEntries(read.metadata)).toEqual({ ...metadata });
        expect([...read.tensors.keys()].sort()).toEqual(tensors.map(({ name }) => name).sort());
        for (const { name, dtype, shape, bytes } of tensors) {
          expect(read.tensors.get(name)).toMatchObject({ dtype, shape });
          expect(await read.readBytes(name)).toEqual(bytes);
        }

        const lazy = tensors.map((tensor) => ({ ...tensor, bytes: async () => tensor.bytes }));
        expect(await collect(safetensorsChunks(lazy, new Map(Object.entries(metadata))))).toEqual(file);
        expect(serializeSafetensors([...tensors].reverse(), metadata)).toEqual(file);
      }),
      { numRuns: 300 },
    );
  });

  test("the header is padded to 8 bytes and wide dtypes come first, so every tensor is aligned", async () => {
    await fc.assert(
      fc.asyncProperty(tensorsArbitrary, async (tensors) => {
        const file = serializeSafetensors(tensors);
        expect(new DataView(file.buffer).getUint32(0, true) % 8).toBe(0);
        const read = await openSafetensors(bytesSource(file));
        for (const { dtype, begin } of read.tensors.values()) {
          const bytesPerValue = (byteLengthOf(dtype, [8]) ?? 0) / 8;
          if (bytesPerValue >= 1) expect(begin % bytesPerValue).toBe(0);
        }
      }),
      { numRuns: 100 },
    );
  });
});

const golden = new URL("../../../../tools/golden/data/", import.meta.url);
const goldenFiles = readdirSync(golden, { recursive: true, encoding: "utf8" }).filter((name) =>
  name.endsWith(".safetensors"),
);

test("files of the reference are written again byte for byte", async () => {
  expect(goldenFiles.length).toBeGreaterThan(0);
  for (const name of goldenFiles.sort().slice(0, 60)) {
    const bytes = new Uint8Array(readFileSync(new URL(name, golden)));
    const file = await openSafetensors(bytesSource(bytes, name));
    const tensors: SafetensorsTensor[] = [];
    for (const [key, { dtype, shape }] of file.tensors) {
      tensors.push({ name: key, dtype, shape, bytes: await file.readBytes(key) });
    }
    expect(Buffer.compare(serializeSafetensors(tensors, file.metadata), bytes), name).toBe(0);
  }
});

test("tensors at odd addresses are copied, so that any typed array can view them", async () => {
  const text =
    '{"b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"a":{"dtype":"F32","shape":[1],"data_offsets":[3,7]}}';
  const read = await openSafetensors(bytesSource(fileOf(text, 7)));
  const bytes = await read.readBytes("a");
  expect(new Float32Array(bytes.buffer, bytes.byteOffset, 1)[0]).toBe(0);
});

describe("accepted", () => {
  test.each([
    ["an empty header", "{}", 0],
    ["trailing spaces", "{}   \n", 0],
    ["rank 0", '{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}', 4],
    ["an axis of zero", '{"a":{"dtype":"F32","shape":[0,9007199254740991],"data_offsets":[0,0]}}', 0],
    ["two tensors of no bytes at one place", `{${entry("a", "[0]", 0, 0)},${entry("b", "[0]", 0, 0)}}`, 0],
    ["any order in the header", `{${entry("b", "[1]", 4, 8)},${entry("a", "[1]", 0, 4)}}`, 8],
    ["escapes in a name", `{${entry("\\u00e9\\ud83d\\ude00", "[1]", 0, 4)}}`, 4],
    ["names that objects have", `{${entry("constructor", "[1]", 0, 4)}}`, 4],
    ["two 4-bit values", '{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}', 1],
  ])("%s", async (_, header, dataBytes) => {
    await openSafetensors(bytesSource(fileOf(header, dataBytes)));
  });
});

describe("refused, word for word", () => {
  const one = (shape: string, begin: number | string, end: number | string): string =>
    `{${entry("a", shape, begin, end)}}`;

  test.each([
    ["[]", 0, "the header must begin with {."],
    [" {}", 0, "the header must begin with {."],
    ["{", 0, "the header must be JSON, but it ends early."],
    ["{}x", 0, 'the header must be JSON, got "x" at character 2.'],
    ["{'a':1}", 0, 'the header must be JSON, got "\'" at character 1.'],
    ['{"a":tru}', 0, 'the header must be JSON, got "t" at character 5.'],
    ['{"a\n":1}', 0, 'the header must be JSON, got "\\n" at character 3.'],
    ['{"\\x":1}', 0, 'the header must be JSON, got the escape sequence in "\\\\x".'],
    ['{"\\ud800":1}', 0, 'the header must be Unicode text, got half a surrogate pair in "\\\\ud800".'],
    [`{"a":${"[".repeat(40)}`, 0, "the header must not be nested deeper than 32."],
    [
      `{${entry("a", "[1]", 0, 4)},${entry("a", "[1]", 0, 4)}}`,
      4,
      'the header must not have the key "a" twice.',
    ],
    [
      `{${entry("a", "[1]", 0, 4)},${entry("\\u0061", "[1]", 0, 4)}}`,
      4,
      'the header must not have the key "a" twice.',
    ],
    [`{${entry("__proto__", "[1]", 0, 4)}}`, 4, 'the header must not have the key "__proto__".'],
    ['{"__metadata__":3}', 0, "__metadata__ must be an object, got 3."],
    ['{"__metadata__":{"a":null}}', 0, '__metadata__ "a" must be a string, got null.'],
    ['{"a":4}', 0, 'tensor "a": its entry must be an object, got 4.'],
    ['{"a":{"x":1}}', 0, 'tensor "a": unknown field "x".'],
    [
      '{"a":{"dtype":"F31","shape":[],"data_offsets":[0,4]}}',
      4,
      'tensor "a": dtype must be one of safetensors, got "F31".',
    ],
    [
      '{"a":{"dtype":"toString","shape":[],"data_offsets":[0,4]}}',
      4,
      'tensor "a": dtype must be one of safetensors, got "toString".',
    ],
    [
      '{"a":{"shape":[],"data_offsets":[0,4]}}',
      4,
      'tensor "a": dtype must be one of safetensors, got nothing.',
    ],
    [one("[1.0]", 0, 4), 4, 'tensor "a": shape must be up to 32 whole numbers, got [1.0].'],
    [one("[-1]", 0, 4), 4, 'tensor "a": shape must be up to 32 whole numbers, got [-1].'],
    [
      one("[9007199254740993]", 0, 4),
      4,
      'tensor "a": shape must be up to 32 whole numbers, got [9007199254740993].',
    ],
    [one('["1"]', 0, 4), 4, 'tensor "a": shape must be up to 32 whole numbers, got ["1"].'],
    [one("3", 0, 4), 4, 'tensor "a": shape must be up to 32 whole numbers, got 3.'],
    [
      one(`[${"1,".repeat(32)}1]`, 0, 4),
      4,
      'tensor "a": shape must be up to 32 whole numbers, got [1, 1, 1, 1, 1, 1, 1, 1, ...].',
    ],
    [one("[1]", 4, 0), 4, 'tensor "a": data_offsets must be [begin, end], got [4, 0].'],
    [one("[1]", -4, 0), 4, 'tensor "a": data_offsets must be [begin, end], got [-4, 0].'],
    [one("[1]", "1e0", 4), 4, 'tensor "a": data_offsets must be [begin, end], got [1e0, 4].'],
    [
      one("[4294967296,4294967296]", 0, 4),
      4,
      'tensor "a": F32 [4294967296, 4294967296] must be a whole number of bytes below 2^53.',
    ],
    [
      '{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}',
      2,
      'tensor "a": F4 [3] must be a whole number of bytes below 2^53.',
    ],
    [one("[2]", 0, 4), 4, 'tensor "a": F32 [2] must be 8 bytes, got 4.'],
    [one("[1]", 4, 8), 8, 'tensor "a" must begin at byte 0, where the one before it ends, got 4.'],
    [
      `{${entry("a", "[2]", 0, 8)},${entry("b", "[1]", 4, 8)}}`,
      8,
      'tensor "b" must begin at byte 8, where the one before it ends, got 4.',
    ],
    [one("[1]", 0, 4), 5, "its tensors must fill the 5 bytes after the header exactly, got 4."],
    [one("[1]", 0, 4), 3, "its tensors must fill the 3 bytes after the header exactly, got 4."],
  ])("%#: %s", async (header, dataBytes, message) => {
    await expect(openSafetensors(bytesSource(fileOf(header, dataBytes), "x.safetensors"))).rejects.toEqual(
      new CheckpointError("openSafetensors", `x.safetensors: ${message}`),
    );
  });

  test.each([
    [[], "the file must be at least 8 bytes long, got 0."],
    [[2, 0, 0, 0, 0, 0, 0], "the file must be at least 8 bytes long, got 7."],
    [[3, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d], "the header must end inside the file of 10 bytes, got 11."],
    [[0, 0, 0, 0, 0, 0, 0, 0], "the header must begin with {."],
    [[1, 225, 245, 5, 0, 0, 0, 0], "the header must be at most 100000000 bytes long, got 100000001."],
    [
      [255, 255, 255, 255, 255, 255, 255, 255],
      "the header must be at most 100000000 bytes long, got 18446744073709551615.",
    ],
    [[2, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0xff], "the header must be UTF-8."],
  ])("%#: bytes", async (bytes, message) => {
    await expect(openSafetensors(bytesSource(Uint8Array.from(bytes), "x"))).rejects.toEqual(
      new CheckpointError("openSafetensors", `x: ${message}`),
    );
  });

  test("a tensor that is not there", async () => {
    const file = await openSafetensors(bytesSource(fileOf("{}", 0), "x"));
    await expect(file.readBytes("w")).rejects.toEqual(
      new CheckpointError("readBytes", 'tensor "w" is not in x.'),
    );
  });
});

describe("the writer refuses, word for word", () => {
  const good: SafetensorsTensor = { name: "a", dtype: "F32", shape: [1], bytes: new Uint8Array(4) };
  test.each<[readonly SafetensorsTensor[], Record<string, string>, string]>([
    [[good, good], {}, 'tensor "a" must be given once, got it twice.'],
    [
      [{ ...good, name: "__proto__" }],
      {},
      `a tensor's name must be Unicode text of at most 1024 characters, got "__proto__".`,
    ],
    [
      [{ ...good, name: "\ud800" }],
      {},
      `a tensor's name must be Unicode text of at most 1024 characters, got "\\ud800".`,
    ],
    [[{ ...good, shape: [-1] }], {}, 'tensor "a" must have a known dtype and shape, got F32 [-1].'],
    [[{ ...good, shape: [0.5] }], {}, 'tensor "a" must have a known dtype and shape, got F32 [0.5].'],
    [[{ ...good, shape: [2] }], {}, 'tensor "a" must be 8 bytes, got 4.'],
    [[], { a: "\udc00" }, 'metadata "a" must be Unicode text, got "\\udc00".'],
  ])("%#", (tensors, metadata, message) => {
    expect(() => serializeSafetensors(tensors, metadata)).toThrow(
      new CheckpointError("serializeSafetensors", message),
    );
  });

  test("in pieces: the header at once, the bytes when they come", async () => {
    expect(() => safetensorsChunks([good, good])).toThrow(CheckpointError);
    const late = safetensorsChunks([{ ...good, bytes: () => new Uint8Array(3) }]);
    await expect(collect(late)).rejects.toEqual(
      new CheckpointError("serializeSafetensors", 'tensor "a" must be 4 bytes, got 3.'),
    );
  });
});

function entry(name: string, shape: string, begin: number | string, end: number | string): string {
  return `"${name}":{"dtype":"F32","shape":${shape},"data_offsets":[${begin},${end}]}`;
}

function fileOf(header: string, dataBytes: number): Uint8Array {
  const text = new TextEncoder().encode(header);
  const file = new Uint8Array(8 + text.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  return file;
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of chunks) parts.push(part);
  return new Uint8Array(Buffer.concat(parts));
}
