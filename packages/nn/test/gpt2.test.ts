import { crossEntropy, fromArray, noGrad, openScope } from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";
import { bytesSource, openSafetensors, serializeSafetensors } from "../src/checkpoint/index.ts";
import * as nn from "../src/index.ts";
import { Conv1D, GPT2LMHeadModel, KvCache, Linear, loadFromHf } from "../src/index.ts";
import {
  distance,
  idsOf,
  loadModel,
  readGolden,
  readJson,
  readTensors,
  targetsOf,
} from "./support/golden.ts";

const { cpu, all } = await testDevices();

describe("config.json of a GPT-2", () => {
  test("what is left out is as in the smallest released model", () => {
    expect(nn.gpt2ConfigFromHf({ model_type: "gpt2" })).toEqual({
      modelType: "gpt2",
      vocabSize: 50257,
      hiddenSize: 768,
      intermediateSize: 3072,
      numHiddenLayers: 12,
      numAttentionHeads: 12,
      numKeyValueHeads: 12,
      headDim: 64,
      layerNormEps: 1e-5,
      activation: "gelu_new",
      tieWordEmbeddings: true,
      maxPositionEmbeddings: 1024,
    });
  });

  test.each(["gpt2", "gpt2-odd"])("%s comes back from what is written of it", (name) => {
    const json = readJson(`models/${name}/config.json`);
    const config = nn.gpt2ConfigFromHf(json);
    const written = nn.gpt2ConfigToHf(config, "float32", { eos_token_id: 0 });
    expect(nn.gpt2ConfigFromHf(written)).toEqual(config);
    // All that transformers reads, and nothing that it does not know.
    for (const [key, value] of Object.entries(written))
      if (key !== "n_inner" && key !== "dtype") expect(json[key], key).toEqual(value);
  });

  test("all that would change the results and is not there is refused, at once", () => {
    const other = {
      model_type: "gpt2",
      n_embd: 100,
      n_head: 12,
      activation_function: "tanh",
      scale_attn_weights: false,
      scale_attn_by_inverse_layer_idx: true,
      add_cross_attention: true,
      quantization_config: {},
    };
    expect(() => nn.gpt2ConfigFromHf(other)).toThrow(
      'config: config.json: quantization_config is not supported yet: use the unquantized model; activation_function must be silu, relu, gelu, gelu_new or gelu_pytorch_tanh, got "tanh"; n_embd (100) must be a multiple of n_head (12); scale_attn_weights must be true; scale_attn_by_inverse_layer_idx is not supported; and 1 more.',
    );
    expect(() => nn.gpt2ConfigFromHf({ model_type: "gpt2", n_layer: 0 })).toThrow(
      "config: config.json: n_layer must be at least 1, got 0.",
    );
    expect(() => nn.gpt2ConfigFromHf({ model_type: "llama" })).toThrow(
      'config: config.json: model_type must be one of gpt2, got "llama".',
    );
  });
});

test("a type that no family has is refused with the names of those there are", () => {
  expect(() => nn.modelConfigFromHf({ model_type: "mamba" })).toThrow(
    'config: config.json: model_type must be one of llama, mistral, qwen2, gpt2, got "mamba".',
  );
  expect(nn.modelConfigFromHf({ model_type: "gpt2" }).modelType).toBe("gpt2");
});

describe("a checkpoint of a GPT-2", async () => {
  const json = readJson("models/gpt2/config.json");
  const tensors = await readTensors("models/gpt2/model.safetensors");

  /** The golden's tensors under other names, and some more. */
  async function fileOf(rename: (name: string) => string, more: readonly string[] = []) {
    const stored = [...tensors].map(([name, { shape, values }]) => ({
      name: rename(name),
      dtype: "F32" as const,
      shape,
      bytes: new Uint8Array(values.buffer),
    }));
    const mask = more.map((name) => ({ name, dtype: "F32" as const, shape: [1], bytes: new Uint8Array(4) }));
    return openSafetensors(bytesSource(serializeSafetensors([...stored, ...mask]), "model.safetensors"));
  }

  test("may leave out the prefix and hold masks and the head again, as those of OpenAI", async () => {
    const masks = ["h.0.attn.bias", "h.1.attn.masked_bias"];
    const bare = await fileOf((name) => name.replace("transformer.", ""), masks);
    const model = await loadFromHf(json, bare, { device: cpu });
    expect(model).toBeInstanceOf(GPT2LMHeadModel);
    const state = model.stateDict();
    expect([...state.keys()].sort()).toEqual([...tensors.keys()].sort());
    for (const [name, { values }] of tensors) expect(await state.get(name)?.toArray()).toEqual(values);
    model.dispose();
    const head = await fileOf((name) => name, ["lm_head.weight", "transformer.h.0.attn.bias"]);
    (await loadFromHf(json, head, { device: cpu })).dispose();
  });

  test("with a matrix that lies the other way round is refused", async () => {
    const before = cpu.memory().liveBytes;
    const other = { ...json, n_inner: 100 };
    await expect(loadFromHf(other, await fileOf((name) => name), { device: cpu })).rejects.toThrow(
      "loadFromHf: model.safetensors does not fit its configuration: 6 problems\n  transformer.h.0.mlp.c_fc.bias: expected [100], got [128]\n  transformer.h.0.mlp.c_fc.weight: expected [32, 100], got [32, 128]\n  transformer.h.0.mlp.c_proj.weight: expected [100, 32], got [128, 32]\n  and 3 more",
    );
    expect(cpu.memory().liveBytes).toBe(before);
  });

  test("offers its layers one by one, with weights as every linear layer has them", async () => {
    const file = await fileOf((name) => name);
    const plain = (await loadFromHf(json, file, { device: cpu })).stateDict();
    const offered: string[] = [];
    const model = await loadFromHf(json, file, {
      device: cpu,
      async linear({ weight, inFeatures, outFeatures, read }) {
        offered.push(weight);
        const [values, stored] = [await read(), (await plain.get(weight)?.toArray()) ?? []];
        expect(values[1]).toBe(stored[outFeatures]); // the second input of the first output
        expect(values[inFeatures]).toBe(stored[1]);
        return undefined;
      },
    });
    expect(offered).toHaveLength(8);
    for (const [name, parameter] of model.stateDict())
      expect(await parameter.toArray()).toEqual(await plain.get(name)?.toArray());
    model.dispose();
    for (const parameter of plain.values()) parameter.dispose();
  });
});

describe.each(all)("positions on $name", (device) => {
  const tokens = (count: number) =>
    fromArray(device, new Int32Array(count).fill(3), [1, count], { dtype: "i32" });

  test("are learned: beyond the last there is none", async () => {
    const model = await loadModel("gpt2-odd", device);
    using _ = openScope();
    expect(model.forward(tokens(11)).shape).toEqual([1, 11, 67]);
    const tooLong =
      "GPT2Model: a text must have at most 11 tokens, the positions that this model learned, got 12. Cut it.";
    expect(() => model.forward(tokens(12))).toThrow(tooLong);
    using cache = new KvCache();
    noGrad(() => model.forward(tokens(10), { cache }));
    expect(() => noGrad(() => model.forward(tokens(2), { cache }))).toThrow(tooLong);
    model.dispose();
  });

  test("of half floats give the logits of float32, with a cache and without", async () => {
    const before = device.memory().liveBytes;
    const ids = tokens(7);
    const run = async (dtype: "f32" | "f16", cached: boolean): Promise<ArrayLike<number>> => {
      const model = await loadModel("gpt2-odd", device, { dtype });
      using _ = openScope();
      using cache = new KvCache();
      const logits = await noGrad(() => model.forward(ids, cached ? { cache } : {})).toArray();
      model.dispose();
      return logits;
    };
    // The file's values are float16.
    const want = await run("f32", false);
    expect(distance(await run("f16", false), want)).toBeLessThan(5e-6);
    expect(distance(await run("f16", true), want)).toBeLessThan(5e-6);
    ids.dispose();
    expect(device.memory().liveBytes).toBe(before);
  });
});

test.each(all)("blocks that run again in backward give the same bits on $name", async (device) => {
  const golden = await readGolden("gpt2");
  const before = device.memory().liveBytes;
  const model = await loadModel("gpt2", device);
  const blocks = (model as GPT2LMHeadModel).transformer.h;
  const gradients = async (mode: boolean): Promise<unknown[]> => {
    for (const block of blocks) block.gradientCheckpointing = mode;
    using _ = openScope();
    const loss = crossEntropy(model.forward(idsOf(golden, device)), targetsOf(golden, device));
    loss.backward();
    const values = await Promise.all(model.parameters().map(({ grad }) => grad?.toArray()));
    model.zeroGrad();
    return [await loss.item(), ...values];
  };
  expect(await gradients(true)).toEqual(await gradients(false));
  model.dispose();
  expect(device.memory().liveBytes).toBe(before);
});

describe.each(all)("Conv1D on $name", (device) => {
  test("acts as the linear layer with the turned weight, also after another took its place", async () => {
    const before = device.memory().liveBytes;
    using scope = openScope();
    const layer = new Conv1D(2, 3, { device });
    layer.weight.upload(Float32Array.of(1, 2, 3, 4, 5, 6));
    layer.bias.upload(Float32Array.of(0.5, 0, -1));
    const x = fromArray(device, [1, 10], [1, 2]);
    expect(Array.from(await layer.forward(x).toArray())).toEqual([41.5, 52, 62]);
    expect(Array.from(await layer.denseWeight().toArray())).toEqual([1, 4, 2, 5, 3, 6]);
    expect(layer.denseWeight().shape).toEqual([3, 2]);
    const empty = new Linear(2, 3, { device, bias: layer.bias });
    const linear = empty.withWeight(layer.denseWeight());
    expect(await linear.forward(x).toArray()).toEqual(await layer.forward(x).toArray());
    const other = layer.withWeight(fromArray(device, [1, 0, 0, 1, 1, 1], [3, 2]));
    expect(Array.from(await other.weight.toArray())).toEqual([1, 0, 1, 0, 1, 1]);
    expect(Array.from(await other.forward(x).toArray())).toEqual([1.5, 10, 10]);
    expect(other.bias).toBe(layer.bias);
    for (const { weight } of [empty, linear, other]) weight.dispose();
    layer.dispose();
    scope[Symbol.dispose]();
    expect(device.memory().liveBytes).toBe(before);
  });
});
