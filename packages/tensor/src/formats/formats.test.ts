import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

import { ValueError } from "../errors.ts";
import type { WeightFormat } from "./format.ts";
import * as exported from "./index.ts";

const formats: ReadonlyMap<string, WeightFormat> = new Map(
  Object.values(exported).map((format) => [format.name, format]),
);

const golden = new URL("../../../../tools/golden/data/gguf/", import.meta.url);
const { types } = JSON.parse(readFileSync(new URL("blocks.json", golden), "utf8")) as {
  types: Record<string, { blockSize: number; blockBytes: number }>;
};
const blocks = readGolden(new URL("blocks.safetensors", golden));

/** Tensors of a safetensors file that we trust: `@graft/nn` has the reader, but stands above this package. */
function readGolden(url: URL): Map<string, Uint8Array> {
  const file = readFileSync(url);
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header: Record<string, { data_offsets?: [number, number] }> = JSON.parse(
    file.toString("utf8", 8, start),
  );
  const tensors = new Map<string, Uint8Array>();
  for (const [name, { data_offsets }] of Object.entries(header)) {
    if (data_offsets)
      tensors.set(name, Uint8Array.from(file.subarray(start + data_offsets[0], start + data_offsets[1])));
  }
  return tensors;
}

function goldenBytes(name: string): Uint8Array {
  const bytes = blocks.get(name);
  if (bytes === undefined) throw new Error(`no golden ${name}`);
  return bytes;
}

const pairs = [...blocks.keys()].flatMap((name) => {
  const match = /^(\w+)\.(bytes|quantized)$/.exec(name);
  const format = match === null ? undefined : formats.get(match[1].toLowerCase());
  if (match === null || format === undefined) return [];
  return [
    { name, format, values: match[2] === "bytes" ? `${match[1]}.values` : `${match[1]}.quantized_values` },
  ];
});

test("every format has golden blocks, and its sizes are those of gguf", () => {
  expect(formats.size).toBeGreaterThanOrEqual(10);
  for (const { name, blockSize, blockBytes } of formats.values()) {
    expect(types[name.toUpperCase()], name).toMatchObject({ blockSize, blockBytes });
    expect(
      pairs.some(({ format }) => format.name === name),
      name,
    ).toBe(true);
  }
});

describe("decode gives the bits that the gguf package gives", () => {
  test.each(pairs)("$name", ({ name, format, values }) => {
    const bytes = goldenBytes(name);
    const expected = goldenBytes(values);
    const out = new Float32Array(expected.length / 4);
    format.decode(bytes, out.length, out);
    expect(new Uint8Array(out.buffer)).toEqual(expected);
    format.validate(bytes);

    // The same from an odd address, into the middle of an array, which stays as it was around it.
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    const wide = new Float32Array(out.length + 2).fill(7);
    format.decode(shifted.subarray(1), out.length, wide.subarray(1));
    expect(wide.subarray(1, -1)).toEqual(out);
    expect([wide[0], wide.at(-1)]).toEqual([7, 7]);
  });

  test.each(pairs)("$name fails when one bit is changed", ({ name, format, values }) => {
    const bytes = goldenBytes(name).slice();
    bytes[format.blockBytes - 1] ^= 0x10;
    const out = new Float32Array(goldenBytes(values).length / 4);
    format.decode(bytes, out.length, out);
    expect(new Uint8Array(out.buffer)).not.toEqual(goldenBytes(values));
  });
});

describe("values by hand", () => {
  test("q4_0: low nibbles come first, 8 is zero", () => {
    const bytes = new Uint8Array(18).fill(0x88);
    bytes.set([0x00, 0x38, 0xf0], 0); // d = 0.5; element 0 is (0 − 8)/2, element 16 is (15 − 8)/2
    const out = new Float32Array(32);
    exported.q4_0.decode(bytes, 32, out);
    expect([out[0], out[1], out[16], out[17]]).toEqual([-4, 0, 3.5, 0]);
  });

  test("q4_1: the minimum is added", () => {
    const bytes = new Uint8Array(20);
    bytes.set([0x00, 0x38, 0x00, 0xbc, 0x21], 0); // d = 0.5, m = −1
    const out = new Float32Array(32);
    exported.q4_1.decode(bytes, 32, out);
    expect([out[0], out[1], out[16]]).toEqual([-0.5, -1, 0]);
  });

  test("q8_0: bytes are signed", () => {
    const bytes = new Uint8Array(34);
    bytes.set([0x00, 0x38, 0x80, 0x7f, 0xff], 0);
    const out = new Float32Array(32);
    exported.q8_0.decode(bytes, 32, out);
    expect([...out.subarray(0, 3)]).toEqual([-64, 63.5, -0.5]);
  });

  test("q5_0: the fifth bits stand in a word of their own", () => {
    const bytes = new Uint8Array(22);
    bytes.set([0x00, 0x38, 0x01, 0, 0, 0x80, 0x00], 0); // d = 0.5; values 0 and 31 have 16, all others 0
    const out = new Float32Array(32);
    exported.q5_0.decode(bytes, 32, out);
    expect([out[0], out[1], out[30], out[31]]).toEqual([0, -8, -8, 0]);
  });

  test("q5_1: the minimum is added", () => {
    const bytes = new Uint8Array(24);
    bytes.set([0x00, 0x38, 0x00, 0xbc, 0x01, 0, 0, 0, 0x21], 0); // d = 0.5, m = −1
    const out = new Float32Array(32);
    exported.q5_1.decode(bytes, 32, out);
    expect([out[0], out[1], out[16]]).toEqual([7.5, -1, 0]);
  });

  test("q4_k: scales and minima 4 to 7 are put together from two bytes", () => {
    const bytes = new Uint8Array(144);
    bytes.set([0x00, 0x38, 0x00, 0x3c], 0); // d = 0.5, dmin = 1
    bytes.set([0x02, 0, 0, 0x80, 0x05, 0, 0, 0x40, 0, 0, 0, 0x31], 4); // pair 0 is (2, 5), pair 7 is (33, 19)
    bytes.set([0x03], 16);
    bytes.set([0x20], 16 + 96);
    const out = new Float32Array(256);
    exported.q4_k.decode(bytes, 256, out);
    expect([out[0], out[1], out[224], out[225]]).toEqual([3 * 1 - 5, -5, 2 * 16.5 - 19, -19]);
  });

  test("q6_k: quarters of a half share bytes", () => {
    const bytes = new Uint8Array(210);
    bytes.set([0xf3], 0); // low nibbles of values 0 (3) and 64 (15)
    bytes.set([0b10_00_00_01], 128); // high bits of values 0 (1) and 96 (2)
    bytes.fill(1, 192, 208);
    bytes[192] = 0xfe; // scale −2 of values 0 to 15
    bytes.set([0x00, 0x38], 208);
    const out = new Float32Array(256);
    exported.q6_k.decode(bytes, 256, out);
    expect([out[0], out[1], out[16], out[64], out[96]]).toEqual([13, 32, -16, -8.5, 0]);
  });
});

describe("errors", () => {
  const bad: [WeightFormat, number, number[], string][] = [
    [exported.f32, 4, [0, 0, 0xc0, 0x7f], "f32: value 1 must be finite, got NaN."],
    [exported.f32, 4, [0, 0, 0x80, 0xff], "f32: value 1 must be finite, got Infinity."],
    [exported.f16, 2, [0x00, 0x7c], "f16: value of block 1 must be finite, got Infinity."],
    [exported.bf16, 2, [0xc0, 0x7f], "bf16: value 1 must be finite, got NaN."],
    [exported.bf16, 2, [0x80, 0xff], "bf16: value 1 must be finite, got Infinity."],
    [exported.q4_0, 18, [0x01, 0x7c], "q4_0: scale of block 1 must be finite, got NaN."],
    [exported.q4_1, 22, [0x00, 0xfc], "q4_1: minimum of block 1 must be finite, got Infinity."],
    [exported.q8_0, 34, [0x00, 0x7e], "q8_0: scale of block 1 must be finite, got NaN."],
    [exported.q5_0, 22, [0x00, 0x7c], "q5_0: scale of block 1 must be finite, got Infinity."],
    [exported.q5_1, 26, [0x01, 0xfc], "q5_1: minimum of block 1 must be finite, got NaN."],
    [exported.q4_k, 144, [0x00, 0x7c], "q4_k: scale of block 1 must be finite, got Infinity."],
    [exported.q4_k, 2, [0x00, 0x7e], "q4_k: scale of the minima of block 0 must be finite, got NaN."],
    [exported.q6_k, 418, [0x00, 0xfc], "q6_k: scale of block 1 must be finite, got Infinity."],
  ];
  test.each(bad)("%#: a scale that is not finite is refused", (format, at, patch, message) => {
    const bytes = new Uint8Array(format.blockBytes * 2);
    format.validate(bytes);
    bytes.set(patch, at);
    expect(() => format.validate(bytes)).toThrow(new ValueError(...split(message)));
  });

  test.each([
    [
      () => exported.q4_0.decode(new Uint8Array(18), 31, new Float32Array(32)),
      "q4_0: count must be a multiple of 32, got 31.",
    ],
    [
      () => exported.q4_0.decode(new Uint8Array(17), 32, new Float32Array(32)),
      "q4_0: 32 values must be 18 bytes, got 17.",
    ],
    [
      () => exported.f16.decode(new Uint8Array(4), 2, new Float32Array(1)),
      "f16: out must have room for 2 values, got 1.",
    ],
    [() => exported.q8_0.validate(new Uint8Array(35)), "q8_0: bytes must be a multiple of 34, got 35."],
  ])("%#: sizes that disagree are refused", (call, message) => {
    expect(call).toThrow(new ValueError(...split(message)));
  });
});

function split(message: string): [string, string] {
  const colon = message.indexOf(": ");
  return [message.slice(0, colon), message.slice(colon + 2)];
}
