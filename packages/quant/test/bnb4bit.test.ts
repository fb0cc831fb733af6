import { readFileSync } from "node:fs";
import {
  bytesSource,
  CheckpointError,
  openSafetensors,
  type SafetensorsFile,
  type SafetensorsTensor,
  serializeSafetensors,
} from "@graft/nn/checkpoint";
import { describe, expect, test } from "vitest";
import { bnb4bitNames, bnb4bitTensors, readBnb4bit } from "../src/bnb4bit.ts";
import { parseQuantState } from "../src/bnbQuantState.ts";
import { dequantize } from "../src/dequantize.ts";
import { fp4, nf4 } from "../src/schemes/index.ts";

const folder = new URL("../../../tools/golden/data/quant/", import.meta.url);
const open = (name: string) => openSafetensors(bytesSource(readFileSync(new URL(name, folder)), name));
const file = await open("linear4bit.safetensors");
const expected = await open("linear4bit.expect.safetensors");

async function tensorsOf(from: SafetensorsFile): Promise<SafetensorsTensor[]> {
  const list: SafetensorsTensor[] = [];
  for (const [name, { dtype, shape }] of from.tensors)
    list.push({ name, dtype, shape, bytes: (await from.readBytes(name)).slice() });
  return list;
}

const json = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes));

describe("layers that bitsandbytes saved", () => {
  const names = bnb4bitNames(file);

  test("are found by their state", () => {
    expect(names.map((name) => name.replace(".weight", "")).sort()).toEqual([
      "double",
      "doubled_float",
      "float",
      "odd",
      "plain",
    ]);
  });

  test.each(names)("%s gives its values to the bit", async (name) => {
    const { packed, dtype } = await readBnb4bit(file, name);
    const layer = name.replace(".weight", "");
    expect(packed.shape).toEqual(expected.tensors.get(layer)?.shape);
    expect(dtype).toBe({ float: "float16", odd: "bfloat16" }[layer] ?? "float32");
    const values = new Float32Array((await expected.readBytes(layer)).slice().buffer);
    const read = dequantize(packed).map((value) => value + 0);
    expect(new Uint32Array(read.buffer)).toEqual(new Uint32Array(values.map((value) => value + 0).buffer));
    // The control: one code is another value.
    const codes = packed.codes.with(3, packed.codes[3] ^ 0x10);
    expect(dequantize({ ...packed, codes } as typeof packed)).not.toEqual(dequantize(packed));
  });

  test.each(names)("%s is written as it was read", async (name) => {
    const { packed, dtype } = await readBnb4bit(file, name);
    const theirs = (await tensorsOf(file)).filter((tensor) => tensor.name.startsWith(name));
    const ours = new Map(bnb4bitTensors(name, packed, dtype).map((tensor) => [tensor.name, tensor]));
    expect([...ours.keys()].sort()).toEqual(theirs.map((tensor) => tensor.name).sort());
    for (const tensor of theirs) {
      const own = ours.get(tensor.name);
      if (tensor.name.includes("quant_state"))
        expect(json(own?.bytes ?? tensor.bytes)).toEqual(json(tensor.bytes));
      else expect(own).toEqual(tensor);
    }
  });
});

test.each([
  [nf4, false],
  [nf4, true],
  [fp4, true],
] as const)("what is written is read back", async (scheme, doubleQuant) => {
  const values = Float32Array.from({ length: 5 * 77 }, (_, i) => Math.sin(i) * (1 + (i % 9)));
  const packed = scheme.quantize(values, [5, 77], { doubleQuant });
  const bytes = serializeSafetensors(bnb4bitTensors("a.weight", packed, "bfloat16"));
  const read = await readBnb4bit(await openSafetensors(bytesSource(bytes)), "a.weight");
  expect(read).toEqual({ packed, dtype: "bfloat16" });
});

describe("refused, word for word", () => {
  const packed = nf4.quantize(new Float32Array(6).fill(0.5), [2, 3], { doubleQuant: true });
  const stateName = "w.quant_state.bitsandbytes__nf4";
  const state = { quant_type: "nf4", blocksize: 64, dtype: "float32", shape: [2, 3] };
  const nested = { nested_blocksize: 256, nested_dtype: "float32", nested_offset: 0.5 };

  const encode = (value: unknown): Uint8Array =>
    new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));

  async function message(change: (tensors: SafetensorsTensor[]) => SafetensorsTensor[]): Promise<string> {
    const bytes = serializeSafetensors(change(bnb4bitTensors("w", packed)));
    const opened = await openSafetensors(bytesSource(bytes, "x"));
    const error = await readBnb4bit(opened, "w").catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CheckpointError);
    return String(error).replace('CheckpointError: readBnb4bit: x: "w": ', "");
  }
  const withState = (value: unknown) => (tensors: SafetensorsTensor[]) =>
    tensors.map((tensor) => {
      const bytes = encode(value);
      return tensor.name === stateName ? { ...tensor, bytes, shape: [bytes.length] } : tensor;
    });
  const withPart = (name: string, part: Partial<SafetensorsTensor>) => (tensors: SafetensorsTensor[]) =>
    tensors.map((tensor) => (tensor.name === name ? { ...tensor, ...part } : tensor));
  const floats = (...values: number[]): Partial<SafetensorsTensor> => ({
    shape: [values.length],
    bytes: new Uint8Array(Float32Array.from(values).buffer),
  });

  test.each([
    ["[]", "quant_state must be a JSON object, got []."],
    ["{", "quant_state must be JSON, but it ends early."],
    [state, 'there must be no "w.nested_absmax" beside it.'],
    [{ ...state, ...nested, more: 1 }, 'quant_state must not have the key "more".'],
    [{ ...state, nested_offset: 1 }, 'quant_state must have the key "nested_blocksize".'],
    [{ ...state, ...nested, quant_type: "fp4" }, 'quant_state quant_type must be nf4, got "fp4".'],
    [
      { ...state, ...nested, blocksize: 65 },
      "quant_state blocksize must be 64, 32, 128, 256, 512, 1024, 2048, 4096, got 65.",
    ],
    [
      { ...state, ...nested, dtype: "float64" },
      'quant_state dtype must be float32, float16, bfloat16, got "float64".',
    ],
    [
      { ...state, ...nested, shape: [2 ** 30, 2 ** 30] },
      "quant_state shape must be sizes of at least 1 whose product is exact, got [1073741824, 1073741824].",
    ],
    [
      { ...state, ...nested, shape: [2, -3] },
      "quant_state shape must be sizes of at least 1 whose product is exact, got [2, -3].",
    ],
    [{ ...state, ...nested, shape: [2, 4] }, '"w" must be [4, 1], got [3, 1].'],
    [{ ...state, ...nested, nested_blocksize: 64 }, "quant_state nested_blocksize must be 256, got 64."],
    [
      { ...state, ...nested, nested_dtype: "float16" },
      'quant_state nested_dtype must be float32, got "float16".',
    ],
    [
      JSON.stringify({ ...state, ...nested }).replace(":0.5", ":1e39"),
      "quant_state nested_offset must be a finite float32, got 1e39.",
    ],
    [
      JSON.stringify({ ...state, ...nested }).replace(":0.5", ":NaN"),
      'quant_state must be JSON, got "N" at character 131.',
    ],
    [" ".repeat(5000), `"${stateName}" must be at most 4096 bytes long, got 5000.`],
  ])("%#: quant_state", async (value, words) => {
    expect(await message(withState(value))).toBe(words);
  });

  test.each([
    [withPart("w.absmax", { shape: [2], bytes: new Uint8Array(2) }), '"w.absmax" must be [1], got [2].'],
    [withPart("w.nested_absmax", floats(NaN)), "absmax 0 must be finite and not negative, got NaN."],
    [withPart("w.nested_absmax", floats(-1)), "absmax 0 must be finite and not negative, got -1."],
    [withPart("w.nested_absmax", floats(1, 1)), '"w.nested_absmax" must be [1], got [2].'],
    [
      withPart("w.quant_map", floats(...new Array(16).fill(0))),
      "quant_map must be bitsandbytes' own, got 0 for -1 at 0.",
    ],
    [
      (tensors: SafetensorsTensor[]) => tensors.filter(({ name }) => name !== "w.quant_map"),
      '"w.quant_map" is missing.',
    ],
    [
      (tensors: SafetensorsTensor[]) => tensors.filter(({ name }) => name !== stateName),
      "there must be one quant_state for the weight, got 0.",
    ],
    [
      (tensors: SafetensorsTensor[]) => [...tensors, { ...tensors[0], name: "w.SCB" }],
      'there must be no "w.SCB" beside it.',
    ],
    [
      (tensors: SafetensorsTensor[]) =>
        tensors.map((tensor) =>
          tensor.name === stateName ? { ...tensor, name: "w.quant_state.bitsandbytes__int4" } : tensor,
        ),
      'quant_state must be named bitsandbytes__nf4 or bitsandbytes__fp4, got "w.quant_state.bitsandbytes__int4".',
    ],
  ])("%#: the tensors beside it", async (change, words) => {
    expect(await message(change)).toBe(words);
  });
});

describe("mutated", () => {
  /** xorshift32: the same changes in every run. */
  function random(seed: number): (limit: number) => number {
    let state = seed;
    return (limit) => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) % limit;
    };
  }
  const runs = Number(process.env.GRAFT_FUZZ_RUNS ?? 3000);

  test("quant_states are understood or refused as CheckpointError, and never read out of range", async () => {
    const below = random(1);
    const tensors = await tensorsOf(file);
    const seeds = tensors.filter((tensor) => tensor.name.includes("quant_state"));
    const tokens = [
      "-1",
      "1e309",
      "9007199254740993",
      "[]",
      "null",
      '"',
      "}",
      "0",
      "65",
      '"nf4"',
      "2.5",
      "\u0000",
      "é",
    ];
    const fail = (problem: string) => new CheckpointError("readBnb4bit", problem);
    const counts = { accepted: 0, refused: 0 };
    for (let run = 0; run < runs; run++) {
      const { bytes, name } = seeds[below(seeds.length)];
      let text = new TextDecoder().decode(bytes);
      for (let edits = 1 + below(3); edits > 0; edits--) {
        const at = below(text.length + 1);
        const cut = below(4);
        const token = below(2) === 0 ? tokens[below(tokens.length)] : String.fromCharCode(below(128));
        text = text.slice(0, at) + (below(8) === 0 ? "" : token) + text.slice(at + cut);
      }
      const changed = new TextEncoder().encode(text);
      try {
        const state = parseQuantState(changed, name.endsWith("nf4") ? "nf4" : "fp4", fail);
        const size = state.shape.reduce((product, dim) => product * dim, 1);
        expect(
          Number.isSafeInteger(size) && size > 0 && nf4.options.blockSize.includes(state.blockSize),
        ).toBe(true);
        counts.accepted++;
      } catch (error) {
        if (!(error instanceof CheckpointError)) throw error;
        counts.refused++;
      }
    }
    expect(counts.refused).toBeGreaterThan(runs / 2);
    expect(counts.accepted).toBeGreaterThan(0);
  });

  test("tensors beside it: what is accepted gives finite values of its shape", async () => {
    const below = random(2);
    const tensors = (await tensorsOf(file)).filter(({ name }) => /^(odd|float)\./.test(name));
    const bits = [0x7f, 0x80, 0xff, 0x00, 0x01];
    const counts = { accepted: 0, refused: 0 };
    for (let run = 0; run < runs / 10; run++) {
      const changed = tensors
        .filter(() => below(40) > 0)
        .map((tensor) => {
          if (below(6) > 0) return tensor;
          const bytes = tensor.bytes.slice();
          for (let i = 1 + below(3); i > 0; i--) bytes[below(bytes.length)] = bits[below(bits.length)];
          const count = tensor.shape.reduce((product, dim) => product * dim, 1);
          const shape = below(10) === 0 ? [count] : tensor.shape;
          const name = below(40) === 0 ? `${tensor.name}.more` : tensor.name;
          return { ...tensor, bytes, shape, name };
        });
      const opened = await openSafetensors(bytesSource(serializeSafetensors(changed)));
      for (const name of ["odd.weight", "float.weight"]) {
        try {
          const { packed } = await readBnb4bit(opened, name);
          const values = dequantize(packed);
          expect(values).toHaveLength(packed.shape.reduce((product, dim) => product * dim, 1));
          expect(values.every(Number.isFinite)).toBe(true);
          counts.accepted++;
        } catch (error) {
          if (!(error instanceof CheckpointError)) throw error;
          counts.refused++;
        }
      }
    }
    expect(counts.refused).toBeGreaterThan(runs / 40);
    expect(counts.accepted).toBeGreaterThan(runs / 40);
  });
});
