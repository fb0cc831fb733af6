import {
  add,
  type Device,
  fromArray,
  Generator,
  normal,
  openScope,
  relu,
  square,
  sum,
  type Tensor,
} from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";
import * as nn from "../src/index.ts";
import {
  AdamW,
  Attention,
  Conv1D,
  Dropout,
  Embedding,
  FeedForward,
  GatedFeedForward,
  GPT2LMHeadModel,
  GPT2Model,
  gpt2ConfigFromHf,
  LayerNorm,
  Linear,
  LlamaForCausalLM,
  LlamaModel,
  llamaConfigFromHf,
  Module,
  RMSNorm,
  Rotary,
  Sequential,
  TransformerBlock,
} from "../src/index.ts";
import { known } from "./support/golden.ts";

const { cpu, gpu, all } = await testDevices();

interface Entry {
  /** The module with drawn values. */
  make(device: Device): Module;
  run(module: Module, device: Device): Tensor;
}

function entry<M extends Module>(
  make: (device: Device) => M,
  run: (module: M, device: Device) => Tensor,
): Entry {
  return { make, run: (module, device) => run(module as M, device) }; // only what `make` made is run
}

const x = (device: Device, ...shape: number[]): Tensor =>
  normal(device, new Generator(7).next(), shape, { std: 1 });
const ids = (device: Device): Tensor => fromArray(device, [1, 2, 3, 2], [1, 4], { dtype: "i32" });
const options = (device: Device) => ({ device, generator: new Generator(3) });
const sizes = { embedDim: 8, hiddenDim: 12 };

const tiny = llamaConfigFromHf({
  model_type: "llama",
  vocab_size: 11,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  tie_word_embeddings: true,
});

const tinyGpt2 = gpt2ConfigFromHf({
  model_type: "gpt2",
  vocab_size: 11,
  n_positions: 6,
  n_embd: 8,
  n_layer: 2,
  n_head: 2,
});

function block(device: Device): TransformerBlock {
  const given = options(device);
  return new TransformerBlock({
    attention: new Attention({ ...given, embedDim: 8, numHeads: 2, qkvBias: true }),
    feedForward: new FeedForward({ ...given, ...sizes }),
    attentionNorm: new LayerNorm(8, given),
    feedForwardNorm: new RMSNorm(8, given),
  });
}

/** One of every module that is exported. */
const entries: Record<string, Entry> = {
  Attention: entry(
    (device) =>
      new Attention({
        ...options(device),
        embedDim: 8,
        numHeads: 4,
        numKvHeads: 2,
        rotary: new Rotary(device, { theta: 100, headDim: 2 }),
      }),
    (module, device) => module.forward(x(device, 1, 4, 8)),
  ),
  Conv1D: entry(
    (device) => new Conv1D(8, 3, options(device)),
    (module, device) => module.forward(x(device, 2, 8)),
  ),
  Dropout: entry(
    () => new Dropout(0.5, new Generator(1)),
    (module, device) => module.forward(x(device, 3, 8)),
  ),
  Embedding: entry(
    (device) => new Embedding(5, 3, options(device)),
    (module, device) => module.forward(ids(device)),
  ),
  FeedForward: entry(
    (device) => new FeedForward({ ...options(device), ...sizes, activation: "gelu_new" }),
    (module, device) => module.forward(x(device, 2, 8)),
  ),
  GPT2LMHeadModel: entry(
    (device) => new GPT2LMHeadModel(tinyGpt2, options(device)),
    (module, device) => module.forward(ids(device)),
  ),
  GPT2Model: entry(
    (device) => new GPT2Model(tinyGpt2, options(device)),
    (module, device) => module.forward(ids(device)),
  ),
  GatedFeedForward: entry(
    (device) => new GatedFeedForward({ ...options(device), ...sizes, bias: true }),
    (module, device) => module.forward(x(device, 2, 8)),
  ),
  LayerNorm: entry(
    (device) => new LayerNorm(8, options(device)),
    (module, device) => module.forward(x(device, 2, 8)),
  ),
  Linear: entry(
    (device) => new Linear(8, 3, options(device)),
    (module, device) => module.forward(x(device, 2, 8)),
  ),
  LlamaForCausalLM: entry(
    (device) => new LlamaForCausalLM(tiny, options(device)),
    (module, device) => module.forward(ids(device)),
  ),
  LlamaModel: entry(
    (device) => new LlamaModel(tiny, options(device)),
    (module, device) => module.forward(ids(device)),
  ),
  RMSNorm: entry(
    (device) => new RMSNorm(8, options(device)),
    (module, device) => module.forward(x(device, 2, 8)),
  ),
  Sequential: entry(
    (device) =>
      new Sequential(new Linear(8, 4, options(device)), relu, new Sequential(new RMSNorm(4, { device }))),
    (module, device) => module.forward(x(device, 2, 8)),
  ),
  TransformerBlock: entry(block, (module, device) => module.forward(x(device, 1, 4, 8))),
};

test("every module that is exported has an entry here", () => {
  const exported = Object.entries(nn)
    .filter(([, value]) => typeof value === "function" && value.prototype instanceof Module)
    .map(([name]) => name);
  expect(Object.keys(entries).sort()).toEqual(exported.sort());
});

async function valuesOf(module: Module): Promise<Map<string, ArrayLike<number>>> {
  const values = new Map<string, ArrayLike<number>>();
  for (const [name, parameter] of module.namedParameters()) values.set(name, await parameter.toBits());
  return values;
}

const devices = [cpu, gpu];

describe.each(Object.entries(entries))("%s", (_name, { make, run }) => {
  test("has unique names, and one parameter for each", () => {
    const module = make(cpu);
    const names = [...module.namedParameters()].map(([name]) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(new Set(module.parameters()).size).toBe(names.length);
    expect([...module.stateDict()]).toEqual([...module.namedParameters()]);
    expect([...module.stateDict().values()]).toEqual(module.parameters());
    const { total, trainable } = module.parameterCount();
    expect(total).toBe(module.parameters().reduce((sum_, { size }) => sum_ + size, 0));
    expect(trainable).toBe(total);
    expect(module.parameterBytes()).toBe(4 * total);
    const paths = [...module.namedModules()].map(([path]) => path);
    expect(new Set(paths).size).toBe(paths.length);
    module.dispose();
  });

  test.each(devices)(
    "loadStateDict(stateDict()) changes nothing, a copy brings all, on $name",
    async (device) => {
      const module = make(device);
      const before = await valuesOf(module);
      await module.loadStateDict(module.stateDict());
      expect(await valuesOf(module)).toEqual(before);

      const copy = make(device);
      for (const parameter of copy.parameters()) parameter.upload(new Float32Array(parameter.size).fill(9));
      await copy.loadStateDict(module.stateDict());
      expect(await valuesOf(copy)).toEqual(before);
      module.dispose();
      copy.dispose();
    },
  );

  test.each(devices)("frozen, it gets no gradient and no step changes it, on $name", async (device) => {
    const module = make(device);
    if (module.parameters().length === 0) return;
    const optimizer = new AdamW(module.namedParameters(), { learningRate: 1, weightDecay: 0.5 });
    const loss = (): void => {
      using _ = openScope();
      const given = new nn.Parameter(fromArray(device, [1], []));
      add(sum(square(run(module, device))), given).backward();
      given.grad?.dispose();
      given.dispose();
    };
    loss();
    for (const [name, { grad }] of module.namedParameters()) expect(grad, name).toBeDefined();
    module.freeze();
    for (const [name, { grad }] of module.namedParameters()) expect(grad, name).toBeUndefined();
    const before = await valuesOf(module);
    loss();
    optimizer.step();
    for (const [name, { grad }] of module.namedParameters()) expect(grad, name).toBeUndefined();
    expect(await valuesOf(module)).toEqual(before);
    expect(module.parameterCount().trainable).toBe(0);

    module.unfreeze();
    loss();
    optimizer.step();
    const after = await valuesOf(module);
    for (const [name, values] of before) expect(after.get(name), name).not.toEqual(values);
    optimizer.dispose();
    module.dispose();
  });

  test("train and eval reach every module below", () => {
    const module = make(cpu);
    const modes = (): boolean[] => [...module.namedModules()].map(([, { training }]) => training);
    expect(modes()).not.toContain(false);
    expect(module.eval()).toBe(module);
    expect(modes()).not.toContain(true);
    expect(module.train()).toBe(module);
    expect(modes()).not.toContain(false);
    module.dispose();
  });

  test.each(all)("disposing it, twice, leaves no byte on $name", (device) => {
    const before = device.memory().liveBytes;
    const module = make(device);
    const owner = openScope();
    const y = run(module, device);
    if (y.requiresGrad) sum(y).backward();
    owner[Symbol.dispose]();
    module.dispose();
    module.dispose();
    expect(device.memory().liveBytes).toBe(before);
  });

  test("get finds every path, and replace exchanges what is there", () => {
    const module = make(cpu);
    for (const [path, found] of module.namedModules()) expect(module.get(path)).toBe(found);
    for (const [path, found] of [...module.namedModules()]) {
      if (path === "") continue;
      const other = new Linear(2, 2, { device: cpu });
      expect(module.replace(path, other)).toBe(found);
      expect(module.get(path)).toBe(other);
      expect(module.replace(path, found)).toBe(other);
      expect(module.get(path)).toBe(found);
      other.dispose();
    }
    module.dispose();
  });
});

test("paths that are not there", () => {
  const module = new Sequential(new Linear(2, 2, { device: cpu }), new RMSNorm(2, { device: cpu }));
  expect(() => module.get("2")).toThrow('Module.get: there is no module "2". Its children are: 0, 1.');
  expect(() => module.replace("a.b", module)).toThrow('Module.replace: there is no module "a.b".');
  module.dispose();
});

test("a module that stands in for another is run, in Sequential and in a list", async () => {
  const sequential = new Sequential(new Linear(2, 2, { device: cpu, bias: false }));
  const other = new Linear(2, 1, { device: cpu, bias: false });
  other.weight.upload(Float32Array.of(10, 1));
  sequential.replace("0", other).dispose();
  expect(Array.from(await sequential.forward(fromArray(cpu, [1, 2], [1, 2])).toArray())).toEqual([12]);
  const model = new LlamaModel(tiny, options(cpu));
  const before = await model.forward(ids(cpu)).toArray();
  model.replace("layers.1", block(cpu)).dispose();
  expect(model.layers[1]).toBe(model.get("layers.1"));
  expect(await model.forward(ids(cpu)).toArray()).not.toEqual(before);
  model.dispose();
});

test("a tied head is one parameter: named once, frozen once, freed once, trained by both uses", () => {
  const before = cpu.memory().liveBytes;
  const model = new LlamaForCausalLM(tiny, options(cpu));
  expect([...model.stateDict().keys()]).not.toContain("lm_head.weight");
  const { weight } = model.model.embed_tokens;
  expect((model.lm_head as Linear).weight).toBe(weight);
  model.lm_head.freeze();
  expect(weight.requiresGrad).toBe(false);
  model.unfreeze();
  model.lm_head.dispose();
  model.dispose();
  expect(cpu.memory().liveBytes).toBe(before);
});

describe("loadStateDict", () => {
  test("tells all problems at once and changes nothing", async () => {
    const module = new Sequential(new Linear(2, 3, options(cpu)), new RMSNorm(3, { device: cpu }));
    const before = await valuesOf(module);
    const state = new Map<string, Tensor>([
      ["0.weight", fromArray(cpu, [1, 2, 3, 4, 5, 6], [2, 3])],
      ["1.weight", fromArray(cpu, [1, 2, 3], [3])],
      ["1.bias", fromArray(cpu, [1, 2, 3], [3])],
    ]);
    await expect(module.loadStateDict(state)).rejects.toThrow(
      new nn.CheckpointError(
        "loadStateDict",
        "3 problems\n  0.bias: missing\n  0.weight: expected [3, 2], got [2, 3]\n  1.bias: not in this model",
      ),
    );
    await expect(module.loadStateDict(state, { strict: false })).rejects.toThrow(
      new nn.CheckpointError("loadStateDict", "1 problem\n  0.weight: expected [3, 2], got [2, 3]"),
    );
    expect(await valuesOf(module)).toEqual(before);
    state.delete("0.weight");
    await module.loadStateDict(state, { strict: false });
    expect(Array.from(known((await valuesOf(module)).get("1.weight"), "1.weight"))).toEqual([1, 2, 3]);
    module.dispose();
  });

  test("takes values of another type and from another device", async () => {
    const module = new RMSNorm(3, { device: gpu });
    const half = fromArray(cpu, [0.5, 1.5, -2], [3], { dtype: "f16" });
    await module.loadStateDict(new Map([["weight", half]]));
    expect(Array.from(await module.weight.toArray())).toEqual([0.5, 1.5, -2]);
    expect(module.weight.dtype).toBe("f32");
    const stored = new nn.Parameter(fromArray(cpu, [0, 0, 0], [3], { dtype: "bf16" }));
    const linear = new Linear(3, 1, {
      device: cpu,
      weight: new nn.Parameter(fromArray(cpu, [0, 0, 0], [1, 3], { dtype: "bf16" })),
      bias: false,
    });
    await linear.loadStateDict(new Map([["weight", fromArray(gpu, [1, 1 / 3, 3], [1, 3])]]));
    expect(Array.from(await linear.weight.toArray())).toEqual([1, 0.333984375, 3]);
    for (const tensor of [half, stored]) tensor.dispose();
    module.dispose();
    linear.dispose();
  });
});

describe("modelTensors", () => {
  test("writes what loads again, with a tied head once", async () => {
    const { bytesSource, openSafetensors, serializeSafetensors, safetensorsChunks } = await import(
      "../src/checkpoint/index.ts"
    );
    const model = new LlamaForCausalLM(tiny, options(cpu));
    const chunks: Uint8Array[] = [];
    for await (const chunk of safetensorsChunks(nn.modelTensors(model), { format: "pt" })) chunks.push(chunk);
    const file = await openSafetensors(bytesSource(Buffer.concat(chunks), "model.safetensors"));
    expect([...file.tensors.keys()].sort()).toEqual([...model.stateDict().keys()].sort());
    const hf = nn.llamaConfigToHf(tiny, "float32");
    const again = await nn.loadFromHf(hf, file, { device: gpu });
    expect(await valuesOf(again)).toEqual(await valuesOf(model));
    expect(again.config).toEqual(model.config);
    again.dispose();

    const half = nn.modelTensors(model, { dtype: "bf16" });
    const bytes = await Promise.all(
      half.map(async (tensor) => ({
        ...tensor,
        bytes: typeof tensor.bytes === "function" ? await tensor.bytes() : tensor.bytes,
      })),
    );
    const source = bytesSource(serializeSafetensors(bytes), "half.safetensors");
    const rounded = await nn.loadFromHf(hf, await openSafetensors(source), { device: cpu, dtype: "bf16" });
    if (!(rounded instanceof LlamaForCausalLM)) throw new Error("it is no Llama");
    expect(rounded.model.embed_tokens.weight.dtype).toBe("bf16");
    const first = await model.model.embed_tokens.weight.toArray();
    const close = await rounded.model.embed_tokens.weight.toArray();
    close.forEach((value, i) => {
      expect(Math.abs(value - first[i])).toBeLessThanOrEqual(Math.abs(first[i]) * 2 ** -8);
    });
    rounded.dispose();
    model.dispose();
  });

  test("refuses values that the type cannot hold", async () => {
    const norm = new RMSNorm(2, { device: cpu });
    norm.weight.upload(Float32Array.of(1, 70000));
    const [{ bytes }] = nn.modelTensors(norm, { dtype: "f16" });
    await expect((bytes as () => Promise<Uint8Array>)()).rejects.toThrow(
      "modelTensors: weight must fit in f16, got 70000 at place 1. Use bf16 or f32, which reach further.",
    );
    norm.weight.upload(Float32Array.of(Number.NaN, 1));
    const [{ bytes: damaged }] = nn.modelTensors(norm, { dtype: "f32" });
    await expect((damaged as () => Promise<Uint8Array>)()).rejects.toThrow(
      "modelTensors: weight must be finite, got NaN at place 0. The model or an adapter is damaged.",
    );
    norm.dispose();
  });
});

test("dropout is what eval and p = 0 leave out", async () => {
  const given = fromArray(cpu, new Float32Array(1000).fill(1), [1000]);
  const dropout = new Dropout(0.25, new Generator(5));
  const values = await dropout.forward(given).toArray();
  const kept = Array.from(values).filter((value) => value !== 0);
  expect(new Set(kept.map((value) => value.toFixed(5)))).toEqual(new Set(["1.33333"]));
  expect(kept.length).toBeGreaterThan(680);
  expect(kept.length).toBeLessThan(820);
  expect(dropout.eval().forward(given)).toBe(given);
  expect(new Dropout(0, new Generator(1)).forward(given)).toBe(given);
  for (const p of [1, -0.1, Number.NaN])
    expect(() => new Dropout(p, new Generator(1))).toThrow(`Dropout: p must be in [0, 1), got ${p}.`);
});

describe("shape errors", () => {
  const device = cpu;
  test.each<[string, () => unknown]>([
    [
      "Attention: embedDim (6) must be divisible by numHeads (4).",
      () => new Attention({ device, embedDim: 6, numHeads: 4 }),
    ],
    [
      "Attention: numHeads (4) must be divisible by numKvHeads (3).",
      () => new Attention({ device, embedDim: 8, numHeads: 4, numKvHeads: 3 }),
    ],
    [
      "Attention: x must be [batch, seq, embed], got [4, 8].",
      () => new Attention({ device, embedDim: 8, numHeads: 4 }).forward(x(device, 4, 8)),
    ],
    ["Parameter: sizes must be whole numbers, got [2, 1.5].", () => nn.Parameter.empty(device, [2, 1.5])],
  ])("%s", (message, fn) => {
    expect(fn).toThrow(expect.objectContaining({ message }));
  });
});
