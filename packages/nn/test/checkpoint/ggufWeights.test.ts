import { readFileSync } from "node:fs";
import * as weightFormats from "@graft/tensor/formats";
import { expect, test } from "vitest";
import { ggufLayout } from "../../src/checkpoint/ggufTypes.ts";
import { bytesSource, openGguf, openSafetensors } from "../../src/checkpoint/index.ts";
import { ggufWeights } from "../../src/models/weights.ts";
import { goldenFolder, readJson } from "../support/golden.ts";
import { ggufBytes } from "./ggufBytes.ts";

const golden = await openSafetensors(
  bytesSource(readFileSync(new URL("gguf/blocks.safetensors", goldenFolder)), "blocks.safetensors"),
);
const { types } = readJson("gguf/blocks.json") as { types: Record<string, { id: number }> };

test.each(Object.values(weightFormats).map(({ name }) => name.toUpperCase()))(
  "%s comes out of a GGUF file as the gguf package reads it",
  async (type) => {
    const random = golden.tensors.has(`${type}.bytes`);
    const bytes = await golden.readBytes(random ? `${type}.bytes` : `${type}.quantized`);
    const values = await golden.readBytes(random ? `${type}.values` : `${type}.quantized_values`);
    const { id } = types[type];
    expect(ggufLayout(id)?.type).toBe(type);
    const file = ggufBytes({ tensors: [{ name: "w", dims: [values.length / 4], type: id, bytes }] });
    const weights = ggufWeights(await openGguf(bytesSource(file, "x")), {
      rename: (name) => name,
      restore: (_, stored) => stored,
    });
    const read = await weights.read("w");
    expect(new Uint8Array(read.buffer)).toEqual(new Uint8Array(values));
  },
);
