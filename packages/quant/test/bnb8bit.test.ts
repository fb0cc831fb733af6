import { readFileSync } from "node:fs";
import {
  bytesSource,
  CheckpointError,
  openSafetensors,
  type SafetensorsTensor,
  serializeSafetensors,
} from "@graft/nn/checkpoint";
import { describe, expect, test } from "vitest";
import { bnb8bitNames, bnb8bitTensors, readBnb8bit } from "../src/bnb8bit.ts";
import { int8 } from "../src/schemes/index.ts";

const folder = new URL("../../../tools/golden/data/quant/", import.meta.url);
const open = (name: string) => openSafetensors(bytesSource(readFileSync(new URL(name, folder)), name));
const file = await open("linear8bit.safetensors");
const expected = await open("linear8bit.expect.safetensors");
const floats = async (name: string) => new Float32Array((await expected.readBytes(name)).slice().buffer);

describe("a layer that bitsandbytes saved", () => {
  test("gives its codes, scales and values", async () => {
    expect(bnb8bitNames(file)).toEqual(["rows.weight"]);
    const packed = await readBnb8bit(file, "rows.weight");
    // int8 of the same weights is the same, and a changed weight is not.
    const source = await floats("source");
    expect(packed).toEqual(int8.quantize(source, [9, 33]));
    expect(packed).not.toEqual(int8.quantize(source.with(5, 0.9), [9, 33]));
    // It multiplies by a rounded 1/127.
    const theirs = await floats("rows");
    for (const [i, value] of int8.dequantize(packed).entries())
      expect(Math.abs(value - theirs[i])).toBeLessThanOrEqual(Math.abs(value) * 2 ** -22);
  });

  test("is written as it was read", async () => {
    const written = bnb8bitTensors("rows.weight", await readBnb8bit(file, "rows.weight"));
    for (const tensor of written) {
      expect(file.tensors.get(tensor.name)).toMatchObject({ dtype: tensor.dtype, shape: tensor.shape });
      expect(tensor.bytes).toEqual(new Uint8Array(await file.readBytes(tensor.name)));
    }
    expect(written.map(({ name }) => name).sort()).toEqual(
      [...file.tensors.keys()].filter((name) => name !== "rows.bias").sort(),
    );
  });
});

describe("refused, word for word", () => {
  const packed = int8.quantize(Float32Array.of(1, -2, 3, 4, 5, -6), [2, 3]);
  const part = (name: string, change: Partial<SafetensorsTensor>) => (tensors: SafetensorsTensor[]) =>
    tensors.map((tensor) => (tensor.name === name ? { ...tensor, ...change } : tensor));
  const scales = (...values: number[]) => ({
    shape: [values.length],
    bytes: new Uint8Array(Float32Array.from(values).buffer),
  });

  test.each([
    [part("w.weight", { shape: [6] }), "the weight must be I8 with two axes, got I8 [6]."],
    [part("w.weight", { dtype: "U8" }), "the weight must be I8 with two axes, got U8 [2, 3]."],
    [part("w.SCB", scales(1)), "SCB must be F32 [2], got F32 [1]."],
    [part("w.SCB", scales(1, NaN)), "SCB 1 must be from 0 to 65504, got NaN."],
    [part("w.SCB", scales(-1, 1)), "SCB 0 must be from 0 to 65504, got -1."],
    [part("w.SCB", { name: "w.other" }), "SCB must be F32 [2], got nothing."],
    [
      part("w.weight_format", { bytes: Uint8Array.of(1) }),
      "weight_format must be 0, for rows, got 1. Save the model with a current bitsandbytes.",
    ],
    [
      part("w.weight_format", { shape: [2], bytes: new Uint8Array(2) }),
      "weight_format must be one U8, got U8 [2].",
    ],
  ])("%#", async (change, words) => {
    const bytes = serializeSafetensors(change(bnb8bitTensors("w.weight", packed)));
    const opened = await openSafetensors(bytesSource(bytes, "x"));
    await expect(readBnb8bit(opened, "w.weight")).rejects.toEqual(
      new CheckpointError("readBnb8bit", `x: "w.weight": ${words}`),
    );
  });

  test("a name that is no weight", () => {
    expect(() => bnb8bitTensors("w", packed)).toThrow(
      new CheckpointError("bnb8bit", 'the name must end in ".weight", got "w".'),
    );
  });
});
