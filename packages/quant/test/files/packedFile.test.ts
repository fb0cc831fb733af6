import {
  bytesSource,
  CheckpointError,
  openSafetensors,
  type SafetensorsTensor,
  serializeSafetensors,
} from "@graft/nn/checkpoint";
import { describe, expect, test } from "vitest";
import { bnb4bitTensors } from "../../src/bnb4bit.ts";
import { bnb8bitTensors } from "../../src/bnb8bit.ts";
import { dequantize } from "../../src/dequantize.ts";
import { int4Tensors } from "../../src/files/int4File.ts";
import { openPackedFile } from "../../src/files/packedFile.ts";
import { type QuantizationConfig, readQuantizationConfig } from "../../src/files/quantizationConfig.ts";
import { int4, int8, nf4 } from "../../src/schemes/index.ts";
import { caseOf, floatsOf, names, openCase } from "./goldens.ts";

test("there is a folder of every kind", () => {
  expect(names.length).toBeGreaterThanOrEqual(7);
});

describe.each(names)("%s, as transformers saved it", (name) => {
  test("has the packed weights that bitsandbytes made, with its values", async () => {
    const { packed, expected } = await openCase(name);
    const { quantized } = caseOf(name);
    expect([...packed.packed.keys()].sort()).toEqual(quantized.map((path) => `${path}.weight`));
    const values = [...expected.tensors.keys()].filter((key) => key.startsWith("values."));
    expect(values.length).toBeGreaterThan(0);
    for (const key of values) {
      const weight = key.slice("values.".length);
      const theirs = await floatsOf(expected, key);
      const own = dequantize(await packed.read(weight));
      expect(own).toHaveLength(theirs.length);
      // Of 8 bits it multiplies by a rounded 1/127; of 4 bits every value has its bits, but for the sign of a zero.
      const ulps = packed.packed.get(weight)?.scheme === "int8" ? 2 : 0;
      const far = (others: Float32Array): number =>
        own.findIndex((value, i) => !(Math.abs(value - others[i]) <= ulps * Math.abs(value) * 2 ** -23));
      expect(far(theirs)).toBe(-1);
      expect(far(theirs.map((value) => value * (1 + 2 ** -20)))).toBeGreaterThanOrEqual(0);
      expect(await packed.weights.read(weight)).toEqual(own);
    }
  });

  test("has the other weights as they are, and nothing else", async () => {
    const { packed, file } = await openCase(name);
    for (const [key, entry] of packed.others) expect(file.tensors.get(key)).toBe(entry);
    expect([...packed.others.keys()].filter((key) => /absmax|quant|SCB|weight_format/.test(key))).toEqual([]);
    expect(new Set(packed.weights.tensors.keys())).toEqual(
      new Set([...packed.packed.keys(), ...packed.others.keys()]),
    );
  });
});

const values = Float32Array.from({ length: 6 * 11 }, (_, i) => Math.sin(i * i));
const packed4 = nf4.quantize(values, [6, 11]);
const config = (changes: Partial<QuantizationConfig> = {}): QuantizationConfig => ({
  scheme: "nf4",
  doubleQuant: false,
  skipModules: undefined,
  computeDtype: "float32",
  ...changes,
});
const fileOf = (tensors: readonly SafetensorsTensor[]) =>
  openSafetensors(bytesSource(serializeSafetensors(tensors), "x"));

test("Graft's own INT4 is read as it was written", async () => {
  const packed = int4.quantize(values, [6, 11]);
  const file = await fileOf(int4Tensors("a.weight", packed));
  const opened = await openPackedFile(file, config({ scheme: "int4" }));
  expect(opened.packed.get("a.weight")).toEqual({ scheme: "int4", shape: [6, 11], doubleQuant: false });
  expect(await opened.read("a.weight")).toEqual(packed);
  expect(opened.others.size).toBe(0);
});

test("codes that are stored as bfloat16 are the same bytes", async () => {
  const wide = nf4.quantize(values.slice(0, 64), [4, 16]);
  const [codes, ...rest] = bnb4bitTensors("a.weight", wide);
  const file = await fileOf([{ ...codes, dtype: "BF16", shape: [16, 1] }, ...rest]);
  expect(await (await openPackedFile(file, config())).read("a.weight")).toEqual(wide);
});

describe("refused, word for word", () => {
  const end = ". Save the model again with transformers, or take its files from one place.";
  test.each([
    [
      bnb4bitTensors("a.weight", packed4),
      undefined,
      `x: "a.weight" is packed (nf4), but the configuration has no quantization_config${end}`,
    ],
    [
      [{ name: "a.weight", dtype: "F32" as const, shape: [1], bytes: new Uint8Array(4) }],
      config(),
      `x: no weight is packed, but the configuration has a quantization_config for nf4${end}`,
    ],
    [
      bnb4bitTensors("a.weight", packed4),
      config({ scheme: "fp4" }),
      `x: "a.weight" must be fp4, as quantization_config says, got nf4${end}`,
    ],
    [
      bnb8bitTensors("a.weight", int8.quantize(values, [6, 11])),
      config(),
      `x: "a.weight" must be nf4, as quantization_config says, got int8${end}`,
    ],
    [
      bnb4bitTensors("a.weight", packed4),
      config({ doubleQuant: true }),
      `x: "a.weight" must have nested scales, as bnb_4bit_use_double_quant says, got plain ones${end}`,
    ],
    [
      [
        ...bnb4bitTensors("a.weight", packed4),
        { name: "a.SCB", dtype: "F32" as const, shape: [6], bytes: new Uint8Array(24) },
      ],
      config(),
      'x: "a.weight" must be packed in one way, got nf4 and int8.',
    ],
  ])("%#", async (tensors, given, words) => {
    await expect(openPackedFile(await fileOf(tensors), given)).rejects.toEqual(
      new CheckpointError("openPackedFile", words),
    );
  });

  const own = int4Tensors("a.weight", int4.quantize(values, [6, 11]));
  const changed = (name: string, change: Partial<SafetensorsTensor>) =>
    own.map((tensor) => (tensor.name === name ? { ...tensor, ...change } : tensor));
  test.each([
    [
      changed("a.weight.scale", { shape: [1], bytes: new Uint8Array(4) }),
      '"a.weight.scale" must be F32 [2], got F32 [1].',
    ],
    [
      changed("a.weight.scale", { bytes: new Uint8Array(Float32Array.of(1, Infinity).buffer) }),
      "scale 1 must be from 0 to 2^125, got Infinity.",
    ],
    [
      changed("a.weight.shape", { bytes: new Uint8Array(Int32Array.of(6, -11).buffer) }),
      "shape must be positive, got [6, -11].",
    ],
    [changed("a.weight.shape", { dtype: "U32" }), "shape must be I32 [2], got U32 [2]."],
    [changed("a.weight", { shape: [33] }), '"a.weight" must be U8 [33, 1], got U8 [33].'],
  ])("INT4: %#", async (tensors, words) => {
    const read = async () =>
      (await openPackedFile(await fileOf(tensors), config({ scheme: "int4" }))).read("a.weight");
    await expect(read()).rejects.toEqual(new CheckpointError("readInt4", `x: "a.weight": ${words}`));
  });
});

test("a configuration and its file agree for every folder", async () => {
  for (const name of names) {
    const { config: read } = await openCase(name);
    const { options } = caseOf(name);
    expect(read?.doubleQuant).toBe(options.bnb_4bit_use_double_quant ?? false);
    expect(read?.skipModules).toEqual(options.llm_int8_skip_modules);
  }
  expect(readQuantizationConfig({ model_type: "llama" })).toBeUndefined();
});
