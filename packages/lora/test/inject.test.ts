import { Dropout, Embedding, Linear, LlamaForCausalLM, llamaConfigFromHf, Sequential } from "@graft/nn";
import { fromArray, Generator, openCpu, relu, scope } from "@graft/tensor";
import { describe, expect, test } from "vitest";
import {
  activeAdapters,
  adaptedLayers,
  adapterConfig,
  adapterNames,
  adapterTensors,
  disableAdapters,
  injectLora,
  LoraError,
  LoraLinear,
  type LoraOptions,
  loraConfig,
  mergeAndUnload,
  mergeLora,
  removeLora,
  setAdapter,
  unmergeLora,
} from "../src/index.ts";

const device = openCpu();

/** A LoraError with exactly this text. */
function refusal(text: string): LoraError {
  const at = text.indexOf(": ");
  return new LoraError(text.slice(0, at), text.slice(at + 2));
}

function llama(tied = false, modelType = "llama"): LlamaForCausalLM {
  const config = llamaConfigFromHf({
    architectures: ["LlamaForCausalLM"],
    model_type: modelType,
    hidden_size: 16,
    intermediate_size: 24,
    max_position_embeddings: 32,
    num_attention_heads: 2,
    num_hidden_layers: 2,
    num_key_value_heads: 1,
    rms_norm_eps: 1e-5,
    vocab_size: 20,
    hidden_act: "silu",
    tie_word_embeddings: tied,
    rope_theta: 10000,
  });
  return new LlamaForCausalLM(config, { device, generator: new Generator(3) });
}

function inject(model: LlamaForCausalLM | Sequential, options: LoraOptions, adapterName?: string) {
  return injectLora(model, options, { generator: new Generator(1), adapterName });
}

const linears =
  "Linear layers are: q_proj (2 times), k_proj (2 times), v_proj (2 times), o_proj (2 times), gate_proj (2 times), up_proj (2 times), down_proj (2 times), lm_head.";

describe("what is selected", () => {
  test("q_proj and v_proj where nothing is said of a known architecture", () => {
    const model = llama();
    const report = inject(model, {});
    expect(report.replaced).toEqual([
      "model.layers.0.self_attn.q_proj",
      "model.layers.0.self_attn.v_proj",
      "model.layers.1.self_attn.q_proj",
      "model.layers.1.self_attn.v_proj",
    ]);
    // rank 8: 2 · (8 · 32 + 8 · 24)
    expect(report.summary).toBe("trainable params: 896 || all params: 5,456 || trainable%: 16.4223");
    expect(adapterConfig(model).targetModules).toEqual(["q_proj", "v_proj"]);
  });

  test("all-linear is every linear layer but the output head, and is written as names", () => {
    const model = llama();
    expect(inject(model, { targetModules: "all-linear" }).replaced).toHaveLength(14);
    expect(adapterConfig(model).targetModules).toEqual([
      "down_proj",
      "gate_proj",
      "k_proj",
      "o_proj",
      "q_proj",
      "up_proj",
      "v_proj",
    ]);
  });

  test("a function selects by path and kind, and is written as paths where names would say too much", () => {
    const model = llama();
    const { replaced } = inject(model, {
      targetModules: (path, module) =>
        path.endsWith("k_proj") && path.includes(".1.") && module instanceof Linear,
    });
    expect(replaced).toEqual(["model.layers.1.self_attn.k_proj"]);
    expect(adapterConfig(model).targetModules).toEqual(replaced);
  });

  test("a whole path that is the end of another one takes the other out by name", () => {
    const options = { device, generator: new Generator(1) };
    const model = new Sequential(new Linear(2, 2, options), new Sequential(new Linear(2, 2, options)));
    expect(inject(model, { targetModules: (path) => path === "0" }).replaced).toEqual(["0"]);
    expect(adapterConfig(model)).toMatchObject({ targetModules: ["0"], excludeModules: ["1.0"] });
  });

  test("ranks and alphas by pattern", () => {
    const model = llama();
    inject(model, {
      rank: 4,
      alpha: 8,
      rankPattern: { "layers.0.self_attn.q_proj": 2 },
      alphaPattern: { v_proj: 3 },
    });
    const found = adaptedLayers(model).map(([, layer]) => layer.adapters.get("default"));
    expect(found.map((adapter) => [adapter?.rank, adapter?.scaling])).toEqual([
      [2, 4],
      [4, 0.75],
      [4, 2],
      [4, 0.75],
    ]);
  });

  test("a tied output head on request", async () => {
    const model = llama(true);
    inject(model, { targetModules: "all-linear" });
    removeLora(model);
    injectLora(
      model,
      { targetModules: ["lm_head"], initLoraWeights: false },
      { generator: new Generator(1), allowTied: true },
    );
    const embedding = await model.model.embed_tokens.weight.toArray();
    expect(await mergeAndUnload(model)).toEqual({
      merged: ["lm_head"],
      untied: ["lm_head"],
      requantized: [],
    });
    expect(await model.model.embed_tokens.weight.toArray()).toEqual(embedding);
    expect([...model.stateDict().keys()]).toContain("lm_head.weight");
  });
});

describe("what is refused, with the model left as it was", () => {
  const sequential = (): Sequential => new Sequential(relu, new Dropout(0, new Generator(1)));
  test.each<[string, () => LlamaForCausalLM | Sequential, LoraOptions, string]>([
    [
      "a name that matches nothing",
      llama,
      { targetModules: ["q_proj", "v_prj"] },
      `injectLora: target "v_prj" matches no layer. ${linears}`,
    ],
    [
      "names that match nothing",
      llama,
      { targetModules: ["w2", "q_proj", "w1"] },
      `injectLora: 2 targets match no layer: "w1", "w2". ${linears}`,
    ],
    [
      "a pattern that matches nothing",
      llama,
      { targetModules: ".*x_proj" },
      `injectLora: target ".*x_proj" matches no layer. ${linears}`,
    ],
    [
      "a function that selects nothing",
      llama,
      { targetModules: () => false },
      `injectLora: the function given as targetModules selects no layer. ${linears}`,
    ],
    [
      "layers that are not there",
      llama,
      { targetModules: ["q_proj"], layersToTransform: [7] },
      `injectLora: with layersToTransform, target "q_proj" matches no layer. ${linears}`,
    ],
    [
      "a target that is no linear layer",
      llama,
      { targetModules: ["q_proj", "embed_tokens", "norm"] },
      `injectLora: targets must be linear layers, got model.embed_tokens (Embedding), model.norm (RMSNorm). ${linears}`,
    ],
    [
      "a model without linear layers",
      sequential,
      { targetModules: ["q"] },
      'injectLora: target "q" matches no layer. The model has no linear layers.',
    ],
    [
      "a model of no known type without targets",
      sequential,
      {},
      "injectLora: targetModules must be given for a model of type unknown. Defaults are known for llama, mistral, qwen2, qwen3, gemma, gemma2, gpt2.",
    ],
    [
      "a tied output head",
      () => llama(true),
      { targetModules: ["lm_head"] },
      "injectLora: targets must have a weight of their own, but lm_head shares its weight with model.embed_tokens. An adapter would change lm_head alone, and merging it would untie them. Leave it out, or allow it with allowTied.",
    ],
  ])("%s", (_, make, options, message) => {
    const model = make();
    const before = [...model.namedModules()].map(([path]) => path);
    expect(() => inject(model, options)).toThrow(refusal(message));
    expect([...model.namedModules()].map(([path]) => path)).toEqual(before);
    expect(model.parameters().every((parameter) => parameter.requiresGrad)).toBe(true);
  });

  test("a module of the user's own without parameters needs a device", () => {
    const model = new Sequential(new Linear(2, 2, { device, generator: new Generator(1) }));
    const layer = model.get("0");
    layer.parameters = () => [];
    expect(() => inject(model, { targetModules: ["0"] })).toThrow(
      refusal("injectLora: a device must be given, 0 has no parameters to tell it. Pass device."),
    );
    expect(model.get("0")).toBe(layer);
  });

  test.each(["", "a.b", "a/b", "..", "myLora", "base", "merged", "x".repeat(65)])(
    "the adapter name %s",
    (name) => {
      expect(() => inject(llama(), {}, name)).toThrow(
        `injectLora: the adapter's name must be up to 64 letters, digits, _ and -, not "base" or "merged" and without "lora" in it, got ${JSON.stringify(name)}.`,
      );
    },
  );

  test("a name that is taken, and a merged model", async () => {
    const model = llama();
    inject(model, {});
    expect(() => inject(model, {})).toThrow(
      'injectLora: the adapter\'s name must be new, but the model has one called "default". Pass another adapterName, or call deleteAdapter first.',
    );
    await mergeLora(model);
    expect(() => inject(model, {}, "two")).toThrow(
      refusal(`injectLora: the model must not be merged: 4 problems
  model.layers.0.self_attn.q_proj
  model.layers.0.self_attn.v_proj
  model.layers.1.self_attn.q_proj
  and 1 more
Call unmergeLora first.`),
    );
    await expect(mergeLora(model)).rejects.toThrow(
      "mergeLora: the layers must not be merged already: 4 problems",
    );
    expect(() => setAdapter(model, "default")).toThrow(
      "setAdapter: model.layers.0.self_attn.q_proj must not be merged. Call unmergeLora first.",
    );
    unmergeLora(model);
    expect(() => setAdapter(model, "other")).toThrow(
      'setAdapter: the adapter must be one of "default", got "other".',
    );
  });

  test("a configuration with every mistake, all named at once", () => {
    const wrong = {
      rank: 0,
      alpha: Number.NaN,
      dropout: 1,
      bias: "all",
      useRslora: 1,
      initLoraWeights: "pissa",
      taskType: "CHAT",
      targetModules: [],
      excludeModules: "(a",
      layersPattern: ["layers.*"],
      rankPattern: { "(?=a)": 2, b: 1.5 },
      alphaPattern: { c: -1 },
    } as unknown as LoraOptions;
    expect(() => loraConfig(wrong)).toThrow(
      refusal(`loraConfig: 14 problems
  alpha must be a finite number above 0, got NaN
  alphaPattern "c" must be a finite number above 0, got -1
  bias must be "none", got "all"
  dropout must be in [0, 1), got 1
  excludeModules must be a regular expression of the supported kind, got "(a", which has a group that is not closed
  initLoraWeights must be true, false or "gaussian", got "pissa"
  layersPattern must be a list of plain names (no regular expressions), got ["layers.*"]
  layersPattern must come with layersToTransform, got it alone
  rank must be a whole number from 1 to 4096, got 0
  rankPattern "(?=a)" must be a regular expression of the supported kind, got "(?=a)", which has "(?=a" at character 0; only plain groups and (?: ) are supported
  rankPattern "b" must be a whole number from 1 to 4096, got 1.5
  targetModules must be at least one name, got []
  taskType must be one of CAUSAL_LM, SEQ_CLS, SEQ_2_SEQ_LM, TOKEN_CLS, QUESTION_ANS, FEATURE_EXTRACTION, got "CHAT"
  useRslora must be true or false, got 1`),
    );
  });

  test("layer numbers beside a pattern", () => {
    expect(() => loraConfig({ targetModules: ".*q", layersToTransform: [1] })).toThrow(
      refusal(
        "loraConfig: 1 problem\n  layersToTransform must be left out unless targetModules is a list, got [1]",
      ),
    );
  });
});

test("without adapters, the functions on adapters say so", async () => {
  const model = llama();
  const text = "the model must have adapters, found none. Call injectLora or loadAdapter first.";
  expect(() => removeLora(model)).toThrow(`removeLora: ${text}`);
  expect(() => unmergeLora(model)).toThrow(`unmergeLora: ${text}`);
  expect(() => setAdapter(model, "default")).toThrow(`setAdapter: ${text}`);
  expect(() => disableAdapters(model, () => 1)).toThrow(`disableAdapters: ${text}`);
  await expect(mergeLora(model)).rejects.toThrow(`mergeLora: ${text}`);
  await expect(mergeAndUnload(model)).rejects.toThrow(`mergeAndUnload: ${text}`);
  expect(adapterNames(model)).toEqual([]);
});

test("merging without an active adapter is refused", async () => {
  const model = llama();
  inject(model, {});
  setAdapter(model, []);
  expect(activeAdapters(model)).toEqual([]);
  await expect(mergeLora(model)).rejects.toThrow(
    "mergeLora: at least one adapter must be active, found none. Call setAdapter first.",
  );
});

test("a safe merge refuses what is not finite and changes nothing; an unsafe one does as it is told", async () => {
  const model = llama();
  inject(model, { targetModules: ["model.layers.0.self_attn.k_proj"], rank: 1, initLoraWeights: false });
  const [factor] = adapterTensors(model).values();
  const [[, layer]] = adaptedLayers(model);
  layer.adapters.get("default")?.loraA.upload(new Float32Array(factor.size).fill(Number.POSITIVE_INFINITY));
  const text = `merged weights must be finite: 1 problem
  model.layers.0.self_attn.k_proj: 128 of its values would be infinite or not a number
The adapter or the base is damaged. Nothing was merged.`;
  await expect(mergeLora(model)).rejects.toThrow(refusal(`mergeLora: ${text}`));
  await expect(mergeAndUnload(model)).rejects.toThrow(refusal(`mergeAndUnload: ${text}`));
  expect(layer.merged).toBe(false);
  await mergeLora(model, { safe: false });
  expect(layer.merged).toBe(true);
});

test("a layer keeps the mode of its place: no dropout where the model is in eval", async () => {
  const model = llama().eval();
  inject(model, { dropout: 0.9, initLoraWeights: false });
  expect(adaptedLayers(model).every(([, layer]) => layer.adapters.get("default")?.training === false)).toBe(
    true,
  );
  const ids = fromArray(device, [1, 2, 3], [1, 3], { dtype: "i32" });
  const run = () => scope(() => model.forward(ids).detach()).toArray();
  expect(await run()).toEqual(await run());
  model.train();
  expect(await run()).not.toEqual(await run());
});

test("only the active adapter that was made for training takes gradients", () => {
  const model = llama();
  inject(model, { rank: 1 }, "one");
  inject(model, { rank: 2 }, "two");
  const trained = () => model.parameters().filter((parameter) => parameter.requiresGrad).length;
  expect(activeAdapters(model)).toEqual(["two"]);
  expect(trained()).toBe(8);
  setAdapter(model, ["one", "two"]);
  expect(trained()).toBe(16);
  setAdapter(model, []);
  expect(trained()).toBe(0);
});

test("disableAdapters takes no async function, and switches back on when fn throws", () => {
  const model = llama();
  inject(model, {});
  expect(() => disableAdapters(model, async () => 1)).toThrow(
    "disableAdapters: fn must be synchronous, got an async function. Await outside of it.",
  );
  const failing = (): never => {
    throw new Error("inside");
  };
  expect(() => disableAdapters(model, failing)).toThrow("inside");
  expect(adaptedLayers(model).every(([, layer]) => layer instanceof LoraLinear && !layer.disabled)).toBe(
    true,
  );
});

test("the same seed gives the same factors, in the ranges of their kind", async () => {
  const factors = async (init: LoraOptions["initLoraWeights"]) => {
    const model = llama();
    injectLora(
      model,
      { rank: 4, initLoraWeights: init, targetModules: ["down_proj"] },
      { generator: new Generator(5) },
    );
    return Promise.all([...adapterTensors(model).values()].map((factor) => factor.toArray()));
  };
  const [a, b] = await factors(true);
  expect(await factors(true)).toEqual(await factors(true));
  expect(Math.max(...a.map(Math.abs))).toBeLessThanOrEqual(1 / Math.sqrt(24));
  expect(Math.max(...a.map(Math.abs))).toBeGreaterThan(0.9 / Math.sqrt(24));
  expect(b.every((value) => value === 0)).toBe(true);
  const [gaussian, zero] = await factors("gaussian");
  const deviation = Math.sqrt([...gaussian].reduce((sum, value) => sum + value * value, 0) / gaussian.length);
  expect(Math.abs(deviation - 1 / 4)).toBeLessThan(0.06);
  expect(zero.every((value) => value === 0)).toBe(true);
  const [, random] = await factors(false);
  expect(random.every((value) => value !== 0 && Math.abs(value) <= 1 / 2)).toBe(true);
});

test("an embedding cannot be adapted, and says what it is", () => {
  const model = new Sequential(new Embedding(3, 4, { device, generator: new Generator(1) }));
  expect(() => inject(model, { targetModules: ["0"] })).toThrow(
    "injectLora: targets must be linear layers, got 0 (Embedding). The model has no linear layers.",
  );
});
