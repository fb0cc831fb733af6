import { readFileSync } from "node:fs";
import { openScope } from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bytesSource,
  type GgufFile,
  type GgufTensor,
  type GgufValue,
  openGguf,
} from "../src/checkpoint/index.ts";
import {
  CheckpointError,
  ggufToHfName,
  inverseFrequencies,
  llamaConfigFromGguf,
  loadFromGguf,
} from "../src/index.ts";
import { unpermuteRows } from "../src/models/llamaGguf.ts";
import { distance, goldenFolder, idsOf, known, readJson, readTensors } from "./support/golden.ts";

const { cpu, all } = await testDevices();
const names = ["llama", "qwen2"];

async function open(name: string): Promise<GgufFile> {
  const path = `gguf_models/${name}.gguf`;
  return openGguf(bytesSource(readFileSync(new URL(path, goldenFolder)), `${name}.gguf`));
}

/** A file whose header says something else. */
async function changed(
  name: string,
  metadata: Record<string, GgufValue | undefined>,
  tensors: Record<string, Partial<GgufTensor> | undefined> = {},
): Promise<GgufFile> {
  const file = await open(name);
  const keys = new Map(file.metadata);
  for (const [key, value] of Object.entries(metadata))
    if (value === undefined) keys.delete(key);
    else keys.set(key, value);
  const entries = new Map(file.tensors);
  for (const [key, value] of Object.entries(tensors)) {
    const old = entries.get(key) ?? { name: key, shape: [1], type: "F32" as const, offset: 0, size: 4 };
    if (value === undefined) entries.delete(key);
    else entries.set(key, { ...old, ...value });
  }
  return { ...file, metadata: keys, tensors: entries };
}

describe.each(names)("%s.gguf", (name) => {
  test.each(all)("gives transformers' logits on $name", async (device) => {
    const tensors = await readTensors(`gguf_models/${name}.expect.safetensors`);
    const expected = { tensor: (key: string) => known(tensors.get(key), key) };
    const before = device.memory().liveBytes;
    const model = await loadFromGguf(await open(name), { device });
    const owner = openScope();
    const logits = await model.forward(idsOf(expected, device)).toArray();
    // As the folders: a few roundings of the largest logit. Measured: at most 2e-6.
    expect(distance(logits, expected.tensor("logits").values)).toBeLessThan(5e-6);
    owner[Symbol.dispose]();
    model.dispose();
    expect(device.memory().liveBytes).toBe(before);
  });

  test("another rope base is beyond the tolerance", async () => {
    const tensors = await readTensors(`gguf_models/${name}.expect.safetensors`);
    const expected = { tensor: (key: string) => known(tensors.get(key), key) };
    const model = await loadFromGguf(await changed(name, { [`${name}.rope.freq_base`]: 12345 }), {
      device: cpu,
    });
    const logits = await model.forward(idsOf(expected, cpu)).toArray();
    expect(distance(logits, expected.tensor("logits").values)).toBeGreaterThan(5e-5);
    model.dispose();
  });

  test("holds the weights that the gguf package reads, under Hugging Face's names", async () => {
    const { weights } = readJson(`gguf_models/${name}.json`) as {
      weights: Record<string, { shape: number[]; sum: number; sumOfSquares: number }>;
    };
    const model = await loadFromGguf(await open(name), { device: cpu });
    const own = model.stateDict();
    expect([...own.keys()].sort()).toEqual(
      Object.keys(weights)
        .filter((key) => own.has(key))
        .sort(),
    );
    for (const [key, parameter] of own) {
      const { shape, sum, sumOfSquares } = known(weights[key], key);
      const values = Float64Array.from(await parameter.toArray());
      expect(parameter.shape, key).toEqual(shape);
      expect(
        values.reduce((a, b) => a + b, 0),
        key,
      ).toBeCloseTo(sum, 3);
      expect(Math.abs(values.reduce((a, b) => a + b * b, 0) / sumOfSquares - 1), key).toBeLessThan(1e-6);
    }
    model.dispose();
  });
});

describe("the rows of q and k", () => {
  /** llama.cpp's converter: rows as [heads, 2, half], the middle axes exchanged. */
  function permuteRows(values: Float32Array, rows: number, heads: number): Float32Array {
    const width = values.length / rows;
    const half = rows / heads / 2;
    const result = new Float32Array(values.length);
    let to = 0;
    for (let head = 0; head < heads; head++)
      for (let i = 0; i < half; i++)
        for (let side = 0; side < 2; side++) {
          const row = (head * 2 + side) * half + i;
          result.set(values.subarray(row * width, (row + 1) * width), to++ * width);
        }
    return result;
  }

  test("come back as they were, matrices and biases", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 4 }),
        (heads, half, width) => {
          const rows = heads * 2 * half;
          const values = Float32Array.from({ length: rows * width }, (_, i) => i);
          const shape = width === 1 ? [rows] : [rows, width];
          expect(unpermuteRows(permuteRows(values, rows, heads), shape, heads)).toEqual(values);
        },
      ),
    );
    const values = Float32Array.from({ length: 8 }, (_, i) => i);
    expect(Array.from(permuteRows(values, 8, 1))).toEqual([0, 4, 1, 5, 2, 6, 3, 7]);
  });
});

test("names of tensors", () => {
  expect(ggufToHfName("blk.12.attn_q.bias")).toBe("model.layers.12.self_attn.q_proj.bias");
  expect(ggufToHfName("token_embd.weight")).toBe("model.embed_tokens.weight");
  expect(ggufToHfName("rope_freqs.weight")).toBeUndefined();
  for (const name of ["blk.0.ffn_gate_exps.weight", "blk.0.attn_q", "blk.0.attn_q.weight.x", "", "other"])
    expect(ggufToHfName(name)).toBe(name);
});

describe("metadata", () => {
  test("says what a configuration says", async () => {
    expect(await llamaConfigFromGguf(await open("llama"))).toMatchObject({
      modelType: "llama",
      vocabSize: 300,
      hiddenSize: 64,
      tieWordEmbeddings: false,
      ropeScaling: undefined,
      slidingWindow: undefined,
    });
    expect(await llamaConfigFromGguf(await open("qwen2"))).toMatchObject({
      modelType: "qwen2",
      qkvBias: true,
      outBias: false,
      tieWordEmbeddings: true,
    });
    const window = await changed("llama", { "llama.attention.sliding_window": 16 });
    expect(await llamaConfigFromGguf(window)).toMatchObject({ modelType: "mistral", slidingWindow: 16 });
    for (const keys of [
      { "llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4 },
      { "llama.rope.scale_linear": 4 },
    ])
      expect((await llamaConfigFromGguf(await changed("llama", keys))).ropeScaling).toEqual({
        type: "linear",
        factor: 4,
      });
    const none = await changed("llama", {
      "llama.rope.scaling.type": "none",
      "llama.rope.scaling.factor": 4,
    });
    expect((await llamaConfigFromGguf(none)).ropeScaling).toBeUndefined();
  });

  test("rope_freqs.weight divides the frequencies, as llama3 scaling does", async () => {
    const llama3 = {
      type: "llama3",
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPositionEmbeddings: 64,
    } as const;
    const rope = { theta: 10_000, headDim: 16 };
    const plain = inverseFrequencies(rope);
    const scaled = inverseFrequencies({ ...rope, scaling: llama3 });
    const factors = Float32Array.from(plain, (frequency, i) => frequency / scaled[i]);
    expect(new Set(factors).size).toBeGreaterThan(2);
    const file = await changed("llama", {}, { "rope_freqs.weight": { shape: [8] } });
    const readBytes = async (): Promise<Uint8Array> => new Uint8Array(factors.buffer);
    const config = await llamaConfigFromGguf({ ...file, readBytes });
    expect(config.ropeScaling).toEqual({ type: "factors", factors: [...factors] });
    inverseFrequencies({ ...rope, scaling: config.ropeScaling }).forEach((frequency, i) => {
      expect(Math.abs(frequency / scaled[i] - 1)).toBeLessThan(2 ** -23);
    });
    const zero = async (): Promise<Uint8Array> => new Uint8Array(32);
    await expect(llamaConfigFromGguf({ ...file, readBytes: zero })).rejects.toThrow(
      "config: llama.gguf: rope_freqs.weight must hold positive numbers.",
    );
  });

  test.each<
    [string, Record<string, GgufValue | undefined>, Record<string, Partial<GgufTensor> | undefined>, string]
  >([
    [
      "an architecture",
      { "general.architecture": "gemma" },
      {},
      'general.architecture must be one of llama, qwen2, got "gemma".',
    ],
    [
      "no architecture",
      { "general.architecture": undefined },
      {},
      "general.architecture must be one of llama, qwen2, got nothing.",
    ],
    [
      "an architecture of another kind",
      { "general.architecture": 3 },
      {},
      "general.architecture must be one of llama, qwen2, got a number.",
    ],
    ["a missing size", { "llama.block_count": undefined }, {}, "llama.block_count is missing."],
    ["a text for a size", { "llama.block_count": "2" }, {}, 'llama.block_count must be a number, got "2".'],
    [
      "a truth for a size",
      { "llama.block_count": true },
      {},
      "llama.block_count must be a number, got a boolean.",
    ],
    [
      "sizes by layer",
      { "llama.attention.head_count_kv": Uint32Array.of(2, 2) },
      {},
      "llama.attention.head_count_kv must be a number, got an array.",
    ],
    [
      "a hostile size",
      { "llama.block_count": 2n ** 40n },
      {},
      "num_hidden_layers must be at most 1024, got 1099511627776.",
    ],
    [
      "half a head",
      { "llama.rope.dimension_count": 8, "llama.attention.key_length": 16 },
      {},
      "llama.rope.dimension_count must be 16, the size of a head, got 8.",
    ],
    [
      "experts",
      { "llama.expert_count": 8 },
      {},
      "llama.expert_count must be 0, got 8: mixtures of experts are not supported.",
    ],
    [
      "yarn",
      { "llama.rope.scaling.type": "yarn" },
      {},
      'rope.scaling.type must be none or linear, got "yarn".',
    ],
    ["a window of qwen2", { "general.architecture": "qwen2" }, {}, "qwen2.embedding_length is missing."],
    ["no embedding", {}, { "token_embd.weight": undefined }, "token_embd.weight is missing."],
    [
      "frequencies of another size",
      {},
      { "rope_freqs.weight": { shape: [3] } },
      "rope_freqs.weight must be F32 [8], got F32 [3].",
    ],
  ])("refuses %s by name", async (_, keys, tensors, problem) => {
    const file = await changed("llama", keys, tensors);
    await expect(llamaConfigFromGguf(file)).rejects.toThrow(
      new CheckpointError("config", `llama.gguf: ${problem}`),
    );
  });

  test("a window of qwen2 is refused", async () => {
    const file = await changed("qwen2", { "qwen2.attention.sliding_window": 8 });
    await expect(llamaConfigFromGguf(file)).rejects.toThrow(
      new CheckpointError("config", "qwen2.gguf: use_sliding_window is not supported for qwen2."),
    );
  });

  test("changed in any way it is refused as CheckpointError, or loads", async () => {
    const values = fc.oneof(
      fc.constantFrom<GgufValue>(
        0,
        1,
        2,
        -1,
        1.5,
        Number.NaN,
        2n ** 63n,
        "",
        "llama",
        true,
        Uint8Array.of(1),
        ["a"],
      ),
      fc.integer(),
      fc.string(),
    );
    const keys = [...(await open("llama")).metadata.keys()].filter((key) => /^(llama|general)\./.test(key));
    expect(keys.length).toBeGreaterThan(8);
    const { liveBytes } = cpu.memory();
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...keys), values, async (key, value) => {
        try {
          const model = await loadFromGguf(await changed("llama", { [key]: value }), { device: cpu });
          model.dispose();
        } catch (error) {
          if (!(error instanceof CheckpointError)) throw error;
          refused++;
        }
        expect(cpu.memory().liveBytes).toBe(liveBytes);
      }),
      { numRuns: 200 },
    );
    expect(refused).toBeGreaterThan(50);
  });
});

test("a tensor type that cannot be decoded, and a scale that is no number", async () => {
  const odd = await changed("llama", {}, { "blk.0.ffn_up.weight": { type: "Q5_K" } });
  await expect(loadFromGguf(odd, { device: cpu })).rejects.toThrow(
    new CheckpointError(
      "loadFromGguf",
      "llama.gguf does not fit its configuration: 1 problem\n  model.layers.0.mlp.up_proj.weight: must be stored as F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q6_K, BF16, got Q5_K",
    ),
  );
  const file = await open("llama");
  const poisoned: GgufFile = {
    ...file,
    async readBytes(name) {
      const bytes = new Uint8Array(await file.readBytes(name)); // a copy
      if (name === "blk.0.attn_q.weight") bytes.set([0, 0x7e], 18);
      return bytes;
    },
  };
  const { liveBytes } = cpu.memory();
  await expect(loadFromGguf(poisoned, { device: cpu })).rejects.toThrow(
    /^loadFromGguf: llama\.gguf: blk\.0\.attn_q\.weight: .*block 1/,
  );
  expect(cpu.memory().liveBytes).toBe(liveBytes);
});
