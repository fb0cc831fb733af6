// LoRA on layers in few bits: nothing special to inject, three ways to merge, and back again bit for bit.
import { fileURLToPath } from "node:url";
import { adaptedLayers, injectLora, LoraError, mergeAndUnload, mergeLora, unmergeLora } from "@graft/lora";
import { AdamW, type CausalLM, FrozenParameter, Linear, TransformerBlock } from "@graft/nn";
import { prepareForKbitTraining, QuantizedLinear, quantizeModel } from "@graft/quant";
import { type Device, fromArray, Generator, noGrad, scope } from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";
import { makeBatch } from "../src/dataset/batching.ts";
import { embeddedModel } from "../src/demo.ts";
import { openModel } from "../src/model/open.ts";
import { lossSum } from "../src/train/loss.ts";

const { cpu, gpu } = await testDevices();
const TIMEOUT = 240_000;
const golden = (path: string): string =>
  fileURLToPath(new URL(`../../../tools/golden/data/${path}`, import.meta.url));

async function load(path: string, device: Device): Promise<CausalLM> {
  await using opened = await openModel(path);
  return await opened.load(device);
}

async function tiny(device: Device): Promise<CausalLM> {
  const model = await load(golden("quant_models/llama-nf4"), device);
  injectLora(
    model,
    { rank: 4, targetModules: "all-linear", initLoraWeights: false },
    { generator: new Generator(3) },
  );
  return model;
}

async function logitsOf(model: CausalLM): Promise<Float32Array> {
  const { device } = model;
  using logits = scope(() =>
    noGrad(() => model.forward(fromArray(device, [3, 1, 4, 1, 5, 9], [1, 6], { dtype: "i32" }))),
  );
  return Float32Array.from(await logits.toArray());
}

/** Bits of everything that is packed. */
async function bitsOf(model: CausalLM): Promise<unknown[]> {
  const packed = model.parameters().filter((parameter) => parameter instanceof FrozenParameter);
  expect(packed.length).toBeGreaterThan(10);
  return Promise.all(packed.map((parameter) => parameter.toBits()));
}

const distance = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);

test.each([cpu, gpu])(
  "LoRA lowers the loss of a packed model on $name, and leaves its bits",
  { timeout: TIMEOUT },
  async (device) => {
    const start = device.memory().liveBytes;
    await using opened = await openModel(embeddedModel);
    const tokenizer = await opened.tokenizer();
    const ids = tokenizer.encode(
      "Call me Ishmael. Some years ago, never mind how long precisely, I thought I would sail about.",
    );
    const batch = makeBatch([{ inputIds: ids, labels: ids }]);
    const model = await opened.load(device);
    const report = await quantizeModel(model, { scheme: "nf4", doubleQuant: true, embedding: "f16" });
    expect(report.bytesAfter).toBeLessThan(report.bytesBefore / 3);
    const { widened } = prepareForKbitTraining(model, { keep: ["embed_tokens.weight"] });
    expect(widened).toEqual([]);
    const injected = injectLora(
      model,
      { rank: 4, targetModules: "all-linear" },
      { generator: new Generator(1) },
    );
    expect(injected.replaced).toHaveLength(report.layers.length - 1);
    expect(injected.total).toBeGreaterThan(1_700_000);
    const before = await bitsOf(model);
    const optimizer = new AdamW(model.namedParameters(), { learningRate: 1e-2 });
    const losses: number[] = [];
    for (let step = 0; step < 3; step++) {
      using loss = scope(() => {
        const sum = lossSum(model, batch);
        sum.backward();
        return sum.detach();
      });
      losses.push((await loss.item()) / batch.targets);
      optimizer.step();
      optimizer.zeroGrad();
    }
    expect(losses[2]).toBeLessThan(losses[0] - 0.2);
    expect(await bitsOf(model)).toEqual(before);
    optimizer.dispose();
    model.dispose();
    expect(device.memory().liveBytes).toBe(start);
  },
);

describe.each([cpu, gpu])("merging on $name", (device) => {
  test("dequantizes by default, and unmerging gives the bytes back", { timeout: TIMEOUT }, async () => {
    const model = await tiny(device);
    const [logits, bits] = [await logitsOf(model), await bitsOf(model)];
    const report = await mergeLora(model);
    expect(report.merged).toHaveLength(14);
    expect(report.requantized).toEqual([]);
    // W + s·B·A in one product or in two: roundings of sums of at most 56 terms.
    expect(distance(await logitsOf(model), logits)).toBeLessThan(1e-4);
    unmergeLora(model);
    expect(await bitsOf(model)).toEqual(bits);
    expect(await logitsOf(model)).toEqual(logits);
    await mergeAndUnload(model);
    expect(model.get("model.layers.0.mlp.up_proj")).toBeInstanceOf(Linear);
    expect(distance(await logitsOf(model), logits)).toBeLessThan(1e-4);
    model.dispose();
  });

  test("requantizes with the error that it says", { timeout: TIMEOUT }, async () => {
    const model = await tiny(device);
    const [logits, bits] = [await logitsOf(model), await bitsOf(model)];
    const { requantized } = await mergeLora(model, { quantized: "requantize" });
    expect(requantized.map(({ path }) => path)).toEqual(adaptedLayers(model).map(([path]) => path));
    const merged = await logitsOf(model);
    expect(distance(merged, logits)).toBeGreaterThan(1e-3);
    for (const [i, [, layer]] of adaptedLayers(model).entries()) {
      using back = scope(() => layer.denseWeight());
      const [updates] = layer.adapters.values();
      using wanted = scope(() => noGrad(() => layer.base.denseWeight().add(updates.deltaWeight())));
      const [got, want] = [
        Float32Array.from(await back.toArray()),
        Float32Array.from(await wanted.toArray()),
      ];
      expect(distance(got, want)).toBeCloseTo(requantized[i].largest, 6);
      // NF4's error of a block is at most 0.152 of its largest value.
      const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      expect(requantized[i].largest).toBeLessThan(0.152 * largest);
      expect(requantized[i].relative).toBeGreaterThan(0.02);
      expect(requantized[i].relative).toBeLessThan(0.2);
    }
    unmergeLora(model);
    expect(await bitsOf(model)).toEqual(bits);
    expect(await logitsOf(model)).toEqual(logits);

    await mergeAndUnload(model, { quantized: "requantize" });
    const layer = model.get("model.layers.0.mlp.up_proj");
    expect(layer).toBeInstanceOf(QuantizedLinear);
    expect((layer as QuantizedLinear).scheme).toBe("nf4");
    expect(await logitsOf(model)).toEqual(merged);
    model.dispose();
  });
});

test("an update of less than half a step vanishes when it is packed again", async () => {
  const model = await load(golden("quant_models/llama-nf4"), cpu);
  injectLora(
    model,
    { rank: 2, targetModules: ["q_proj"], initLoraWeights: false },
    { generator: new Generator(3) },
  );
  for (const [, layer] of adaptedLayers(model))
    for (const adapter of layer.adapters.values()) adapter.scaling = 1e-7;
  const codes = async (of: unknown) =>
    (await (of as QuantizedLinear).packed()) as unknown as { codes: Uint8Array };
  const layer = model.get("model.layers.0.self_attn.q_proj.base");
  const before = (await codes(layer)).codes;
  await mergeAndUnload(model, { quantized: "requantize" });
  expect((await codes(model.get("model.layers.0.self_attn.q_proj"))).codes).toEqual(before);
  model.dispose();
});

test("packed layers can be refused, and dense ones need nothing", async () => {
  const model = await tiny(cpu);
  const refused = expect.objectContaining({
    message: expect.stringMatching(
      /^mergeLora: the layers must not be quantized: .*down_proj.*Pass quantized: "dequantize" or "requantize"\.$/s,
    ),
  });
  await expect(mergeLora(model, { quantized: "refuse" })).rejects.toEqual(refused);
  await expect(mergeAndUnload(model, { quantized: "refuse" })).rejects.toThrow(LoraError);
  expect(adaptedLayers(model).some(([, layer]) => layer.merged)).toBe(false);
  model.dispose();
  const dense = await load(golden("models/llama"), cpu);
  injectLora(dense, { rank: 2, targetModules: "all-linear" }, { generator: new Generator(3) });
  await expect(mergeLora(dense, { quantized: "refuse" })).resolves.toMatchObject({ requantized: [] });
  await expect(adaptedLayers(dense)[0][1].mergePacked()).rejects.toThrow(
    "mergePacked: the base must be a packed layer, got a dense one. Call merge.",
  );
  dense.dispose();
});

test("layers below adapters are packed, and the adapters stay", async () => {
  const model = await load(golden("models/llama-odd"), cpu);
  injectLora(
    model,
    { rank: 2, targetModules: "all-linear", initLoraWeights: false },
    { generator: new Generator(3) },
  );
  const logits = await logitsOf(model);
  const report = await quantizeModel(model, { scheme: "int8" });
  expect(report.layers[0].path).toBe("model.layers.0.self_attn.q_proj.base");
  expect(adaptedLayers(model)).toHaveLength(14);
  const largest = distance(logits, new Float32Array(logits.length));
  expect(distance(await logitsOf(model), logits)).toBeLessThan(0.05 * largest);
  expect(distance(await logitsOf(model), logits)).toBeGreaterThan(1e-4 * largest);
  model.dispose();
});

test("16-bit parameters are widened and everything is frozen", async () => {
  const model = await load(golden("quant_models/llama-nf4-bf16"), cpu);
  const before = await logitsOf(model);
  const stored = [...model.namedParameters()].filter(([, { dtype }]) => dtype === "bf16" || dtype === "f16");
  model.unfreeze();
  const { widened } = prepareForKbitTraining(model);
  expect(widened).toEqual(stored.map(([name]) => name));
  const blocks = [...model.namedModules()].flatMap(([, module]) =>
    module instanceof TransformerBlock ? [module] : [],
  );
  expect(blocks.map(({ gradientCheckpointing }) => gradientCheckpointing)).toEqual([true, true]);
  expect(model.parameters().every(({ requiresGrad }) => !requiresGrad)).toBe(true);
  expect([...model.namedParameters()].every(([, { dtype }]) => dtype === "f32" || dtype === "u32")).toBe(
    true,
  );
  expect(distance(await logitsOf(model), before)).toBeLessThan(1e-5);
  model.dispose();
});
