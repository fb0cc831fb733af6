import { safetensorsWeights } from "@graft/nn";
import {
  bytesSource,
  CheckpointError,
  openCheckpoint,
  openSafetensors,
  type SafetensorsFile,
  serializeSafetensors,
} from "@graft/nn/checkpoint";
import { describe, expect, test } from "vitest";
import { dequantize } from "../../src/dequantize.ts";
import { openPackedFile } from "../../src/files/packedFile.ts";
import { type FileScheme, type QuantizeFileOptions, quantizeFiles } from "../../src/files/quantizeFile.ts";
import { caseOf, names, openCase, openFolder } from "./goldens.ts";

/** The files as they would lie in a folder. */
async function written(
  file: SafetensorsFile,
  options: QuantizeFileOptions,
): Promise<Map<string, Uint8Array>> {
  const { files } = quantizeFiles(safetensorsWeights(file), options);
  const contents = new Map<string, Uint8Array>();
  for (const [name, chunks] of files) {
    const pieces: Uint8Array[] = [];
    for await (const chunk of chunks) pieces.push(chunk);
    contents.set(name, new Uint8Array(Buffer.concat(pieces)));
  }
  return contents;
}

const opened = (files: ReadonlyMap<string, Uint8Array>): Promise<SafetensorsFile> =>
  openCheckpoint(async (name) => {
    const bytes = files.get(name);
    return bytes && bytesSource(bytes, name);
  });

describe.each(names)("%s, written from the dense model", (name) => {
  test("has the tensors that transformers saved", async () => {
    const { file: theirs, packed: theirPacked, config } = await openCase(name);
    if (config === undefined) throw new Error("no configuration");
    const source = await openFolder(caseOf(name).source);
    const ours = await opened(
      await written(source, {
        scheme: config.scheme as FileScheme,
        doubleQuant: config.doubleQuant,
        quantized: (weight) => theirPacked.packed.has(weight),
        turned: () => name.startsWith("gpt2"),
      }),
    );
    expect([...ours.tensors.keys()].sort()).toEqual([...theirs.tensors.keys()].sort());
    for (const [key, { dtype, shape }] of ours.tensors) {
      const bytes = await ours.readBytes(key);
      if (key.includes(".quant_state.")) continue;
      const entry = theirs.tensors.get(key);
      // One of the folders keeps its codes as bfloat16.
      if (entry?.dtype !== "BF16" || dtype === "BF16") expect(entry).toMatchObject({ dtype, shape });
      // Nested scales may differ by a step (see the goldens of the schemes); everything else is equal to the bit.
      if (!config.doubleQuant || !key.includes("absmax"))
        expect(Buffer.compare(bytes, await theirs.readBytes(key)), key).toBe(0);
    }
    const reread = await openPackedFile(ours, config);
    for (const weight of reread.packed.keys()) {
      const own = dequantize(await reread.read(weight));
      const other = dequantize(await theirPacked.read(weight));
      // A step of a nested scale is at most 0.0141 of the largest deviation from the mean, which is below the mean here.
      const most = other.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
      const off = own.reduce((worst, value, i) => Math.max(worst, Math.abs(value - other[i])), 0);
      expect(off).toBeLessThanOrEqual(config.doubleQuant ? most * 0.0141 : 0);
    }
  });
});

test("INT4 comes back, and a dtype for the rest is kept", async () => {
  const source = await openFolder("models/llama-odd");
  const isQuantized = (name: string) => name.endsWith("_proj.weight");
  const files = await written(source, { scheme: "int4", quantized: isQuantized, dtype: "f16" });
  const config = {
    scheme: "int4",
    doubleQuant: false,
    skipModules: undefined,
    computeDtype: "float32",
  } as const;
  const packed = await openPackedFile(await opened(files), config);
  expect([...packed.packed.keys()].every(isQuantized)).toBe(true);
  expect(packed.packed.size).toBe(14);
  expect(new Set([...packed.others.values()].map(({ dtype }) => dtype))).toEqual(new Set(["F16"]));
});

test("more bytes than a file may have make several files and an index", async () => {
  const source = await openFolder("models/llama-odd");
  const options = { scheme: "nf4", quantized: (name: string) => name.endsWith("_proj.weight") } as const;
  const whole = await opened(await written(source, options));
  const files = await written(source, { ...options, maxShardBytes: 16_000 });
  const shards = [...files.keys()].filter((name) => name.endsWith(".safetensors"));
  expect(shards.length).toBeGreaterThan(2);
  expect(shards[0]).toBe(`model-00001-of-0000${shards.length}.safetensors`);
  const sharded = await opened(files);
  expect([...sharded.tensors.keys()].sort()).toEqual([...whole.tensors.keys()].sort());
  for (const name of whole.tensors.keys())
    expect(await sharded.readBytes(name)).toEqual(await whole.readBytes(name));
  const index = JSON.parse(new TextDecoder().decode(files.get("model.safetensors.index.json")));
  const bytes = [...whole.tensors.values()].reduce((sum, { begin, end }) => sum + end - begin, 0);
  expect(index.metadata.total_size).toBe(bytes);
});

test("the bytes before and after are those of values, codes and scales", async () => {
  const source = safetensorsWeights(await openFolder("models/llama-f16"));
  const report = quantizeFiles(source, {
    scheme: "int8",
    quantized: (name) => name.endsWith("_proj.weight"),
  });
  const sizes = [...source.tensors].map(([name, { shape }]) => ({
    packed: name.endsWith("_proj.weight"),
    rows: shape[0],
    values: shape.reduce((a, b) => a * b, 1),
  }));
  expect(report.count).toBe(14);
  expect(report.before).toBe(sizes.reduce((sum, { values }) => sum + 2 * values, 0));
  expect(report.after).toBe(
    sizes.reduce((sum, { packed, rows, values }) => sum + (packed ? values + 4 * rows : 2 * values), 0),
  );
});

test("a weight that cannot be quantized is named", async () => {
  const bytes = serializeSafetensors([
    { name: "a.weight", dtype: "F32", shape: [2, 1], bytes: new Uint8Array(Float32Array.of(1, NaN).buffer) },
  ]);
  const file = await openSafetensors(bytesSource(bytes, "x"));
  await expect(written(file, { scheme: "nf4", quantized: () => true })).rejects.toEqual(
    new CheckpointError("quantizeFiles", 'x: "a.weight": nf4: value 1 must be finite, got NaN.'),
  );
});
