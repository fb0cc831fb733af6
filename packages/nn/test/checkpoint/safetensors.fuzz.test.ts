import { expect, test } from "vitest";

import {
  bytesSource,
  openSafetensors,
  type SafetensorsFile,
  serializeSafetensors,
} from "../../src/checkpoint/index.ts";
import { judge, mutateBytes, type Random, random } from "./fuzz.ts";

const seed = serializeSafetensors(
  [
    {
      name: "model.layers.0.self_attn.q_proj.weight",
      dtype: "F32",
      shape: [2, 3],
      bytes: Uint8Array.from({ length: 24 }, (_, i) => i),
    },
    { name: "é\n", dtype: "BF16", shape: [4], bytes: new Uint8Array(8) },
    { name: "scalar", dtype: "I64", shape: [], bytes: new Uint8Array(8) },
    { name: "none", dtype: "U8", shape: [0, 7], bytes: new Uint8Array(0) },
  ],
  { format: "pt" },
);
const headerEnd = 8 + new DataView(seed.buffer).getUint32(0, true);
const headerText = new TextDecoder().decode(seed.subarray(8, headerEnd)).trimEnd();

const run = (bytes: Uint8Array): Promise<SafetensorsFile> => openSafetensors(bytesSource(bytes));

/** What was accepted is written and read again without a change. */
async function roundTrips(file: SafetensorsFile): Promise<void> {
  const tensors = [];
  for (const [name, { dtype, shape }] of file.tensors)
    tensors.push({ name, dtype, shape, bytes: await file.readBytes(name) });
  const again = await run(serializeSafetensors(tensors, file.metadata));
  expect([...again.metadata]).toEqual([...file.metadata]);
  expect(again.tensors.size).toBe(tensors.length);
  for (const { name, dtype, shape, bytes } of tensors) {
    expect(again.tensors.get(name)).toMatchObject({ dtype, shape });
    expect(Buffer.compare(await again.readBytes(name), bytes)).toBe(0);
  }
}

function withHeader(text: string): Uint8Array {
  const header = new TextEncoder().encode(text);
  const file = new Uint8Array(8 + header.length + seed.length - headerEnd);
  new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
  file.set(header, 8);
  file.set(seed.subarray(headerEnd), 8 + header.length);
  return file;
}

function* times(count: number, make: (random: Random) => Uint8Array, salt: number): Generator<Uint8Array> {
  const source = random(salt);
  for (let i = 0; i < count; i++) yield make(source);
}

test("changed bytes anywhere in the file", async () => {
  const counts = await judge(
    times(20_000, (source) => mutateBytes(seed, source), 1),
    run,
    roundTrips,
  );
  expect(counts.accepted).toBeGreaterThan(100);
  expect(counts.refused).toBeGreaterThan(10_000);
});

test("changed bytes in the header, under a length that fits", async () => {
  const header = new TextEncoder().encode(headerText);
  const make = (source: Random): Uint8Array =>
    withHeader(Buffer.from(mutateBytes(header, source)).toString("latin1"));
  const counts = await judge(times(20_000, make, 2), run, roundTrips);
  expect(counts.refused).toBeGreaterThan(10_000);
});

const numbers = [
  "-1",
  "-0",
  "0",
  "1",
  "8",
  "1.0",
  "1e2",
  "1e999",
  "01",
  "+1",
  "NaN",
  "4294967296",
  "9007199254740991",
];
numbers.push(
  "9007199254740992",
  "18446744073709551616",
  "null",
  '"8"',
  "[]",
  "{}",
  "true",
  "0x8",
  "9".repeat(400),
);

test("changed numbers", async () => {
  const make = (source: Random): Uint8Array => {
    let text = headerText;
    for (let edits = 1 + source.below(3); edits > 0; edits--) {
      const found = source.pick([...text.matchAll(/\d+/g)]);
      const near = String(Number(found[0]) + source.below(17) - 8);
      text =
        text.slice(0, found.index) +
        source.pick([...numbers, near]) +
        text.slice(found.index + found[0].length);
    }
    return withHeader(text);
  };
  const counts = await judge(times(15_000, make, 3), run, roundTrips);
  expect(counts.accepted).toBeGreaterThan(10);
});

const pieces = [
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  '"',
  "\\",
  "\\u0000",
  "\\ud800",
  "\ufeff",
  " ",
  "\0",
  "__proto__",
  '"a":1,',
  "null",
];
pieces.push(
  '"__metadata__":{},',
  '"dtype":"F16",',
  '"shape":[],',
  "/**/",
  "[".repeat(100),
  '{"a":'.repeat(100),
  "é",
  "\u2028",
);

test("changed structure: pieces put in, doubled, moved and left out", async () => {
  const make = (source: Random): Uint8Array => {
    let parts = headerText.split(/(?<=[,:{}[\]"])/);
    for (let edits = 1 + source.below(3); edits > 0; edits--) {
      const at = source.below(parts.length);
      const span = parts.slice(at, at + 1 + source.below(14));
      const put = source.pick([[], [source.pick(pieces)], span, [...span, ...span]]);
      const to = source.below(4) === 0 ? source.below(parts.length) : at;
      const cut = source.below(2) === 0 ? 0 : span.length;
      parts = parts.toSpliced(at, cut);
      parts = parts.toSpliced(to, 0, ...put);
      if (parts.length === 0) parts = ["{}"];
    }
    return withHeader(parts.join(""));
  };
  await judge(times(15_000, make, 4), run, roundTrips);
});

test("every truncation is refused", async () => {
  const cuts = Array.from({ length: seed.length }, (_, i) => seed.slice(0, i));
  expect(await judge(cuts, run, roundTrips)).toEqual({ accepted: 0, refused: seed.length });
});
