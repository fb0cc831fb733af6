import { f16, f32, openCpu, type WeightFormat } from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bytesSource,
  openSafetensors,
  type SafetensorsTensor,
  serializeSafetensors,
} from "../src/checkpoint/index.ts";
import {
  CheckpointError,
  type LlamaConfig,
  llamaConfigFromHf,
  llamaConfigToHf,
  llamaShapes,
  loadFromHf,
} from "../src/index.ts";
import { modelNames, readJson } from "./support/golden.ts";

const { cpu } = await testDevices();

const base = {
  model_type: "llama",
  vocab_size: 32,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
};

function message(json: unknown): string {
  try {
    llamaConfigFromHf(json);
  } catch (error) {
    if (error instanceof CheckpointError) return error.message;
    throw error;
  }
  return "";
}

describe("config.json", () => {
  test("what a file leaves out is transformers' default", () => {
    expect(llamaConfigFromHf(base)).toEqual({
      modelType: "llama",
      vocabSize: 32,
      hiddenSize: 16,
      intermediateSize: 24,
      numHiddenLayers: 2,
      numAttentionHeads: 4,
      numKeyValueHeads: 4,
      headDim: 4,
      rmsNormEps: 1e-6,
      ropeTheta: 10_000,
      ropeScaling: undefined,
      hiddenAct: "silu",
      tieWordEmbeddings: false,
      qkvBias: false,
      outBias: false,
      mlpBias: false,
      slidingWindow: undefined,
      maxPositionEmbeddings: 2048,
    } satisfies LlamaConfig);
    const mistral = { ...base, model_type: "mistral", num_attention_heads: 8 };
    expect(llamaConfigFromHf(mistral)).toMatchObject({ numKeyValueHeads: 8, slidingWindow: 4096 });
    expect(llamaConfigFromHf({ ...mistral, sliding_window: null, num_key_value_heads: null })).toMatchObject({
      numKeyValueHeads: 8,
      slidingWindow: undefined,
    });
    expect(
      llamaConfigFromHf({ ...base, model_type: "qwen2", num_key_value_heads: 2, sliding_window: 7 }),
    ).toMatchObject({ qkvBias: true, outBias: false, slidingWindow: undefined });
  });

  const llama3 = {
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 64,
  };

  test("both spellings of the rope parameters mean the same", () => {
    const spellings = [
      { rope_theta: 500, rope_scaling: { rope_type: "llama3", ...llama3 } },
      { rope_theta: 500, rope_scaling: { type: "llama3", ...llama3 } },
      { rope_parameters: { rope_theta: 500, rope_type: "llama3", ...llama3 } },
    ].map((rope) => llamaConfigFromHf({ ...base, ...rope }));
    expect(spellings[0]).toMatchObject({
      ropeTheta: 500,
      ropeScaling: {
        type: "llama3",
        factor: 8,
        lowFreqFactor: 1,
        highFreqFactor: 4,
        originalMaxPositionEmbeddings: 64,
      },
    });
    expect(spellings[1]).toEqual(spellings[0]);
    expect(spellings[2]).toEqual(spellings[0]);
    expect(llamaConfigFromHf({ ...base, rope_scaling: { type: "linear", factor: 2 } }).ropeScaling).toEqual({
      type: "linear",
      factor: 2,
    });
    for (const rope_scaling of [null, { rope_type: "default" }, {}])
      expect(llamaConfigFromHf({ ...base, rope_scaling }).ropeScaling).toBeUndefined();
  });

  test.each<[string, unknown, string]>([
    ["no object", null, "the content must be a JSON object."],
    ["a list", [base], "the content must be a JSON object."],
    ["no type", {}, "model_type must be one of llama, mistral, qwen2, got nothing."],
    [
      "an unknown type",
      { ...base, model_type: "gemma" },
      'model_type must be one of llama, mistral, qwen2, got "gemma".',
    ],
    [
      "a type of another kind",
      { ...base, model_type: [["a"]] },
      "model_type must be one of llama, mistral, qwen2, got an array.",
    ],
    ["a size that is missing", { ...base, vocab_size: undefined }, "vocab_size is missing."],
    [
      "1e9 layers",
      { ...base, num_hidden_layers: 1e9 },
      "num_hidden_layers must be at most 1024, got 1000000000.",
    ],
    ["NaN", { ...base, hidden_size: Number.NaN }, "hidden_size must be a number, got NaN."],
    [
      "a half layer",
      { ...base, num_hidden_layers: 1.5 },
      "num_hidden_layers must be a whole number, got 1.5.",
    ],
    ["no head", { ...base, num_attention_heads: 0 }, "num_attention_heads must be at least 1, got 0."],
    ["a number for a yes", { ...base, mlp_bias: 1 }, "mlp_bias must be true or false, got 1."],
    ["a number for a text", { ...base, hidden_act: 1 }, "hidden_act must be a text, got 1."],
    ["a list for the rope", { ...base, rope_scaling: 3 }, "rope_scaling must be an object, got 3."],
    ["a text for a size", { ...base, hidden_size: "16" }, 'hidden_size must be a number, got "16".'],
    [
      "an infinite base",
      { ...base, rope_theta: Number.POSITIVE_INFINITY },
      "rope_theta must be finite, got Infinity.",
    ],
    [
      "a base of 0",
      { ...base, rope_parameters: { rope_theta: 0 } },
      "rope_parameters.rope_theta must be above 0, got 0.",
    ],
    [
      "yarn",
      { ...base, rope_scaling: { type: "yarn", factor: 4 } },
      'rope type must be default, linear or llama3, got "yarn".',
    ],
    [
      "dynamic",
      { ...base, rope_scaling: { rope_type: "dynamic", factor: 4 } },
      'rope type must be default, linear or llama3, got "dynamic".',
    ],
    [
      "longrope",
      { ...base, rope_parameters: { rope_type: "longrope" } },
      'rope type must be default, linear or llama3, got "longrope".',
    ],
    [
      "linear without a factor",
      { ...base, rope_scaling: { type: "linear" } },
      "rope factor is missing for rope type linear.",
    ],
    [
      "half of llama3",
      { ...base, rope_scaling: { rope_type: "llama3", factor: 8 } },
      "rope type llama3 needs factor, low_freq_factor, high_freq_factor and original_max_position_embeddings.",
    ],
    [
      "llama3 upside down",
      { ...base, rope_scaling: { rope_type: "llama3", ...llama3, low_freq_factor: 4 } },
      "low_freq_factor (4) must be below high_freq_factor (4).",
    ],
    [
      "both spellings at once",
      { ...base, rope_scaling: { type: "linear", factor: 2 }, rope_parameters: { rope_theta: 1 } },
      "rope_parameters and rope_scaling must not both be there.",
    ],
    [
      "a part that is not rotated",
      { ...base, partial_rotary_factor: 0.5 },
      "partial_rotary_factor must be 1, got 0.5.",
    ],
    [
      "a window of qwen2",
      { ...base, model_type: "qwen2", num_key_value_heads: 4, use_sliding_window: true },
      "use_sliding_window is not supported for qwen2.",
    ],
    ["an odd head", { ...base, head_dim: 5 }, "head_dim must be even, got 5."],
    [
      "heads that cannot share",
      { ...base, num_key_value_heads: 3 },
      "num_attention_heads (4) must be a multiple of num_key_value_heads (3).",
    ],
    [
      "a width that is no multiple",
      { ...base, hidden_size: 18 },
      "hidden_size (18) must be a multiple of num_attention_heads (4) where head_dim is not given; head_dim must be even, got 4.5.",
    ],
    [
      "an activation",
      { ...base, hidden_act: "constructor" },
      'hidden_act must be silu, relu, gelu, gelu_new or gelu_pytorch_tanh, got "constructor".',
    ],
    [
      "packed weights",
      { ...base, quantization_config: {} },
      "quantization_config is for packed weights: load them with loadQuantizedFromHf of @graft/quant.",
    ],
    [
      "seven things",
      { model_type: "llama", rms_norm_eps: -1 },
      "vocab_size is missing; hidden_size is missing; intermediate_size is missing; num_hidden_layers is missing; num_attention_heads is missing; and 1 more.",
    ],
  ])("refuses %s by name", (_, json, problem) => {
    expect(message(json)).toBe(`config: config.json: ${problem}`);
  });

  const llamaNames = modelNames.filter((name) => !name.startsWith("gpt2"));

  test.each(llamaNames)("%s: what is written back reads as the same configuration", (name) => {
    const config = llamaConfigFromHf(readJson(`models/${name}/config.json`));
    const written: unknown = JSON.parse(JSON.stringify(llamaConfigToHf(config, "float32")));
    expect(llamaConfigFromHf(written)).toEqual(config);
  });
});

test("a changed config.json is refused as CheckpointError, or valid", () => {
  const values = fc.oneof(
    fc.constantFrom<unknown>(
      null,
      undefined,
      -1,
      0,
      1,
      2,
      3,
      1.5,
      1e9,
      1e308,
      2 ** 53,
      Number.NaN,
      Number.POSITIVE_INFINITY,
    ),
    fc.constantFrom<unknown>(
      "",
      "llama",
      "mistral",
      "qwen2",
      "yarn",
      "linear",
      "llama3",
      "silu",
      true,
      false,
      [],
      {},
    ),
    fc.integer({ min: -5, max: 5000 }),
    fc.jsonValue({ maxDepth: 3 }),
    fc.string(),
    fc.bigInt(),
  );
  const keys = [
    ...Object.keys(base),
    ...["num_key_value_heads", "head_dim", "rms_norm_eps", "rope_theta", "rope_scaling", "rope_parameters"],
    ...[
      "hidden_act",
      "tie_word_embeddings",
      "attention_bias",
      "mlp_bias",
      "sliding_window",
      "use_sliding_window",
    ],
    ...["max_position_embeddings", "quantization_config", "__proto__", "toString"],
  ];
  const rope = fc.dictionary(
    fc.constantFrom("rope_type", "type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor", "x"),
    values,
  );
  const change = fc.tuple(fc.constantFrom(...keys), fc.oneof(values, rope));
  let refused = 0;
  let valid = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(base, ...modelNames.map((name) => readJson(`models/${name}/config.json`))),
      fc.array(change, { minLength: 1, maxLength: 3 }),
      (start, changes) => {
        const json: Record<string, unknown> = { ...start };
        for (const [key, value] of changes)
          Object.defineProperty(json, key, { value, enumerable: true, configurable: true });
        try {
          const config = llamaConfigFromHf(json);
          valid++;
          for (const [key, value] of Object.entries(config))
            if (typeof value === "number") expect(Number.isFinite(value), key).toBe(true);
          expect(config.headDim % 2).toBe(0);
          expect(config.numAttentionHeads % config.numKeyValueHeads).toBe(0);
          for (const shape of llamaShapes(config).values())
            for (const dim of shape) expect(Number.isSafeInteger(dim) && dim > 0).toBe(true);
        } catch (error) {
          if (!(error instanceof CheckpointError)) throw error;
          refused++;
          expect(error.message).toMatch(/^config: config\.json: [^\n]+\.$/);
          expect(error.message.length).toBeLessThan(1000);
        }
      },
    ),
    { numRuns: 500 },
  );
  // Of 500, some 450 and 40: both kinds come.
  expect(refused).toBeGreaterThan(100);
  expect(valid).toBeGreaterThan(5);
});

describe("weights that do not fit", () => {
  const shapes = llamaShapes(llamaConfigFromHf(base));

  async function load(
    change: (tensors: Map<string, SafetensorsTensor>) => void,
    json: Record<string, unknown> = {},
  ): Promise<string> {
    const tensors = new Map<string, SafetensorsTensor>();
    for (const [name, shape] of shapes)
      tensors.set(name, {
        name,
        dtype: "F32",
        shape,
        bytes: new Uint8Array(4 * shape.reduce((a, b) => a * b, 1)),
      });
    change(tensors);
    const source = bytesSource(serializeSafetensors(tensors.values()), "model.safetensors");
    const before = cpu.memory();
    try {
      (await loadFromHf({ ...base, ...json }, await openSafetensors(source), { device: cpu })).dispose();
      return "";
    } catch (error) {
      expect(error).toBeInstanceOf(CheckpointError);
      expect(cpu.memory().liveBytes).toBe(before.liveBytes);
      return error instanceof Error ? error.message : "";
    }
  }

  const name = "model.layers.1.mlp.up_proj.weight";
  const other = (dtype: "I8" | "F16", shape: number[]): SafetensorsTensor => ({
    name,
    dtype,
    shape,
    bytes: new Uint8Array((dtype === "I8" ? 1 : 2) * shape.reduce((a, b) => a * b, 1)),
  });

  test("the file as it should be loads, also with what may be there", async () => {
    expect(await load(() => {})).toBe("");
    const inv = "model.layers.0.self_attn.rotary_emb.inv_freq";
    expect(await load((tensors) => tensors.set(inv, { ...other("F16", [2]), name: inv }))).toBe("");
    expect(await load(() => {}, { tie_word_embeddings: true })).toBe("");
  });

  test.each<[string, (tensors: Map<string, SafetensorsTensor>) => unknown, string]>([
    ["a tensor is missing", (tensors) => tensors.delete(name), `1 problem\n  ${name}: missing`],
    [
      "a shape is another",
      (tensors) => tensors.set(name, other("F16", [16, 24])),
      `1 problem\n  ${name}: expected [24, 16], got [16, 24]`,
    ],
    [
      "a type is none of ours",
      (tensors) => tensors.set(name, other("I8", [24, 16])),
      `1 problem\n  ${name}: must be stored as F32, F16, BF16, F64, got I8`,
    ],
    [
      "one is not of the model",
      (tensors) => tensors.set("lm_head.bias", { ...other("F16", [32]), name: "lm_head.bias" }),
      "1 problem\n  lm_head.bias: not in this model",
    ],
    [
      "all is missing",
      (tensors) => tensors.clear(),
      "21 problems\n  lm_head.weight: missing\n  model.embed_tokens.weight: missing\n  model.layers.0.input_layernorm.weight: missing\n  and 18 more",
    ],
  ])("%s", async (_, change, problems) => {
    expect(await load(change)).toBe(
      `loadFromHf: model.safetensors does not fit its configuration: ${problems}`,
    );
  });

  test("no memory is taken for sizes that a configuration claims", async () => {
    const { peakBytes } = cpu.memory();
    const huge = {
      hidden_size: 1 << 17,
      vocab_size: 1 << 22,
      num_hidden_layers: 1024,
      intermediate_size: 1 << 20,
    };
    expect(await load(() => {}, huge)).toMatch(
      /^loadFromHf: model\.safetensors does not fit its configuration: \d+ problems/,
    );
    expect(cpu.memory().peakBytes).toBe(peakBytes);
  });

  test("a file that breaks while it is read leaves no model behind", async () => {
    const tensors = [...shapes].map(([own, shape]) => ({ ...other("F16", [...shape]), name: own }));
    const file = await openSafetensors(bytesSource(serializeSafetensors(tensors), "model.safetensors"));
    let reads = 0;
    const broken = {
      ...file,
      readBytes(own: string) {
        if (++reads === 5) throw new CheckpointError("read", "the disk is gone.");
        return file.readBytes(own);
      },
    };
    const { liveBytes } = cpu.memory();
    await expect(loadFromHf(base, broken, { device: cpu })).rejects.toThrow("read: the disk is gone.");
    expect(cpu.memory().liveBytes).toBe(liveBytes);
  });

  test.each<[WeightFormat, "F32" | "F16"]>([
    [f32, "F32"],
    [f16, "F16"],
  ])("$name counts its tensors as they come", async ({ blockBytes }, dtype) => {
    const tensors = [...shapes].map(([own, shape]) => ({
      name: own,
      dtype,
      shape,
      bytes: new Uint8Array(blockBytes * shape.reduce((a, b) => a * b, 1)),
    }));
    const file = await openSafetensors(bytesSource(serializeSafetensors(tensors), "model.safetensors"));
    const seen: number[] = [];
    const onTensor = (done: number, total: number): void => {
      seen.push(done);
      expect(total).toBe(shapes.size);
    };
    const model = await loadFromHf(base, file, { device: cpu, onTensor });
    expect(seen).toEqual(Array.from({ length: shapes.size }, (_, i) => i + 1));
    expect(model.training).toBe(false);
    model.dispose();
  });

  test("the device never holds more than the model while it loads, and one tensor is read at a time", async () => {
    const tensors = [...shapes].map(([own, shape]) => ({ ...other("F16", [...shape]), name: own }));
    const file = await openSafetensors(bytesSource(serializeSafetensors(tensors), "model.safetensors"));
    for (const dtype of ["f32", "bf16"] as const) {
      const device = openCpu();
      const order: string[] = [];
      const watched = {
        ...file,
        readBytes(own: string) {
          order.push(own);
          return file.readBytes(own);
        },
      };
      const onTensor = (): number => order.push("done");
      const model = await loadFromHf(base, watched, { device, dtype, onTensor });
      expect(device.memory().peakBytes).toBe(model.parameterBytes());
      expect(order.filter((_, i) => i % 2 === 1)).toEqual(Array.from({ length: shapes.size }, () => "done"));
      model.dispose();
      device.close();
    }
  });
});
