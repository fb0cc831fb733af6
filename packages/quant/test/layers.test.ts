// Layers that compute from packed bits are the layers of their dequantized weights, on every device.
import { Embedding, FrozenParameter, Linear, LlamaForCausalLM, llamaConfigFromHf } from "@graft/nn";
import {
  type Device,
  fromArray,
  Generator,
  linear,
  matmul,
  normal,
  openCpu,
  packedFormats,
  scope,
  type Tensor,
} from "@graft/tensor";
import { assertWithin, HALF_ULP, testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";
import {
  dequantize,
  type Packed,
  QuantizedEmbedding,
  QuantizedLinear,
  quantize,
  quantizeModel,
  schemes,
} from "../src/index.ts";

const { cpu, gpu, reference } = await testDevices();
const devices = [cpu, gpu];
const TIMEOUT = 120_000;

const ways = Object.values(schemes).flatMap(({ name }) => {
  const nests = packedFormats.get(name)?.nests === true;
  return nests ? [{ scheme: name }, { scheme: name, doubleQuant: true }] : [{ scheme: name }];
});

/** Bell-shaped values, the same on every device. */
async function randomValues(seed: number, count: number): Promise<Float32Array> {
  using drawn = normal(reference, new Generator(seed).next(), [count]);
  return Float32Array.from(await drawn.toArray());
}

/** Forward and the gradient of x under dy, read back. */
async function passes(layer: { forward(x: Tensor): Tensor }, x: Tensor, dy: Tensor): Promise<Float32Array[]> {
  x.grad?.dispose();
  x.grad = undefined;
  using y = scope(() => {
    const out = layer.forward(x);
    out.backward({ gradient: dy });
    return out.detach();
  });
  const values = [y, x.grad as unknown as Tensor].map(async (tensor) =>
    Float32Array.from(await tensor.toArray()),
  );
  return Promise.all(values);
}

describe.each(ways)("$scheme, nested scales: $doubleQuant", (options) => {
  test("forward and input gradient are those of the dequantized weight", { timeout: TIMEOUT }, async () => {
    const [rows, columns] = [24, 96];
    const values = await randomValues(1, rows * columns);
    const packed = quantize(values, [rows, columns], options);
    const dense = dequantize(packed);
    for (const device of devices) {
      const start = device.memory();
      const bias = await randomValues(2, rows);
      const given = { x: await randomValues(3, 5 * columns), dy: await randomValues(4, 5 * rows) };
      const made = new Linear(columns, rows, { device, generator: new Generator(0) });
      made.bias?.upload(bias);
      const layer = QuantizedLinear.fromPacked(packed, { device, bias: made.bias });
      const x = fromArray(device, given.x, [5, columns], { requiresGrad: true });
      const dy = fromArray(device, given.dy, [5, rows]);
      const [y, dx] = await passes(layer, x, dy);
      const exact = scope(() => {
        const [w, a, b] = [dense, given.x, given.dy].map((of, i) =>
          fromArray(
            reference,
            of,
            [
              [rows, columns],
              [5, columns],
              [5, rows],
            ][i],
            { dtype: "f64" },
          ),
        );
        return [linear(a, w, fromArray(reference, bias, [rows], { dtype: "f64" })), matmul(b, w)];
      });
      for (const [i, got] of [y, dx].entries()) {
        const want = await exact[i].toArray();
        // Values are about 1, sums have up to 96 terms of about 1; scales of asymmetric groups are put together from two.
        assertWithin({
          label: `${options.scheme} on ${device.name}, ${i === 0 ? "forward" : "gradient"}`,
          shape: exact[i].shape,
          got,
          want,
          budget: () => 96 * 16 * HALF_ULP,
        });
        exact[i].dispose();
      }
      for (const tensor of [x, dy, x.grad]) tensor?.dispose();
      layer.dispose();
      made.dispose();
      expect(device.memory()).toMatchObject({ liveBytes: start.liveBytes, liveBuffers: start.liveBuffers });
    }
  });

  test("packed weights come back bit for bit, from every device", async () => {
    const packed = quantize(await randomValues(5, 7 * 32), [7, 32], options);
    for (const device of devices) {
      const layer = QuantizedLinear.fromPacked(packed, { device });
      expect(await layer.packed()).toEqual(packed);
      const again = scope(() => layer.denseWeight());
      const values = Float32Array.from(await again.toArray());
      const want = dequantize(packed);
      if (device.kind === "cpu") expect(values).toEqual(want);
      const same = await layer.requantized(again);
      // What was dequantized gets the same codes; nested scales may move by their own rounding.
      if (!("doubleQuant" in options)) expect(await same.packed()).toEqual(packed);
      expect(same.scheme).toBe(options.scheme);
      again.dispose();
      layer.dispose();
      same.dispose();
    }
  });
});

test("GGUF blocks that no scheme writes are kept and computed from", async () => {
  for (const name of ["q4_1", "q5_0", "q5_1", "q4_k", "q6_k"]) {
    const format = packedFormats.get(name);
    const columns = format?.columnMultiple ?? 0;
    const size = { q4_1: 20, q5_0: 22, q5_1: 24, q4_k: 144, q6_k: 210 }[name] ?? 0;
    const bytes = Uint8Array.from({ length: 3 * size }, (_, i) => (i * 37) % 251);
    for (let block = 0; block < 3; block++)
      for (const at of name === "q6_k" ? [208] : [0, 2]) bytes.set([0, 0x38], block * size + at);
    const packed: Packed = { scheme: name, shape: [3, columns], bytes } as Packed;
    for (const device of devices) {
      const layer = QuantizedLinear.fromPacked(packed, { device });
      using weight = layer.denseWeight();
      const values = await weight.toArray();
      const want = dequantize(packed);
      const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      values.forEach((value, i) => {
        expect(Math.abs(value - want[i])).toBeLessThanOrEqual(4 * HALF_ULP * largest * 2);
      });
      expect(await layer.packed()).toEqual(packed);
      layer.dispose();
    }
  }
});

test("weights of a wrong kind are refused", () => {
  const device = cpu;
  const values = new Float32Array(64).fill(1);
  const packed = quantize(values, [64], { scheme: "nf4" });
  expect(() => QuantizedLinear.fromPacked(packed, { device })).toThrow(
    "nf4: a packed matrix must be [rows, columns], got [64].",
  );
  const short = { ...quantize(values, [2, 32], { scheme: "int8" }), shape: [3, 32] } as Packed;
  expect(() => QuantizedLinear.fromPacked(short, { device })).toThrow(
    "int8: codes must take 24 words for [3, 32], got 16.",
  );
  expect(() => quantize(values, [2, 32], { scheme: "nf5" })).toThrow("scheme must be one of");
  expect(() => quantize(values, [2, 32], { scheme: "int8", doubleQuant: true })).toThrow(
    'int8: there is no option "doubleQuant". Options are: none.',
  );
});

function llama(device: Device, tied: boolean, hidden = 32): LlamaForCausalLM {
  const config = llamaConfigFromHf({
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: hidden,
    intermediate_size: 96,
    max_position_embeddings: 32,
    num_attention_heads: 2,
    num_hidden_layers: 2,
    num_key_value_heads: 1,
    rms_norm_eps: 1e-5,
    vocab_size: 50,
    hidden_act: "silu",
    tie_word_embeddings: tied,
    rope_theta: 10000,
  });
  return new LlamaForCausalLM(config, { device, generator: new Generator(3) });
}

async function logitsOf(model: LlamaForCausalLM): Promise<Float32Array> {
  using logits = scope(() => {
    const { device } = model.parameters()[0];
    return model.forward(fromArray(device, [1, 2, 3, 4, 5, 6], [2, 3], { dtype: "i32" })).detach();
  });
  return Float32Array.from(await logits.toArray());
}

const relative = (a: Float32Array, b: Float32Array): number => {
  const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return norm(a.map((value, i) => value - b[i])) / norm(b);
};

describe("quantizeModel", () => {
  test("replaces the linear layers, reports bytes, and leaves the head and its embedding", async () => {
    const device = openCpu();
    const model = llama(device, true);
    const before = await logitsOf(model);
    const bytes = model.parameterBytes();
    const live = device.memory().liveBytes;
    const report = await quantizeModel(model, { scheme: "nf4", doubleQuant: true });
    expect(report.layers).toHaveLength(14);
    expect(report.layers[0]).toEqual({
      path: "model.layers.0.self_attn.q_proj",
      scheme: "nf4",
      bytesBefore: 4096,
      // 512 of codes, 16 scales of a byte, a nested scale and the offset
      bytesAfter: 512 + 16 + 8,
    });
    expect(report.left).toEqual(["lm_head"]);
    expect(report.bytesBefore).toBe(bytes);
    expect(report.bytesAfter).toBe(model.parameterBytes());
    const saved = report.layers.reduce(
      (sum, { bytesBefore, bytesAfter }) => sum + bytesBefore - bytesAfter,
      0,
    );
    expect(report.bytesBefore - report.bytesAfter).toBe(saved);
    expect(live - device.memory().liveBytes).toBe(saved);
    expect(model.parameterCount().total).toBe(llama(openCpu(), true).parameterCount().total);
    const after = await logitsOf(model);
    expect(relative(after, before)).toBeGreaterThan(0.001);
    expect(relative(after, before)).toBeLessThan(0.35);
    model.dispose();
    expect(device.memory().liveBytes).toBe(0);
  });

  test("codes and scales stay frozen, whatever is unfrozen", async () => {
    const model = llama(openCpu(), true);
    await quantizeModel(model, { scheme: "int4" });
    model.unfreeze();
    const frozen = model.parameters().filter((parameter) => parameter instanceof FrozenParameter);
    expect(frozen).toHaveLength(28);
    expect(frozen.every(({ requiresGrad }) => !requiresGrad)).toBe(true);
    expect(model.parameterCount().trainable).toBe(5 * 32 + 50 * 32);
  });

  test("exclude takes paths and parts of paths up to dots, as transformers does", async () => {
    const model = llama(openCpu(), false);
    const report = await quantizeModel(model, {
      scheme: "int8",
      exclude: ["model.layers.1", "mlp.up_proj", "proj", "lm_head"],
    });
    expect(report.layers.map(({ path }) => path)).toEqual([
      "model.layers.0.self_attn.q_proj",
      "model.layers.0.self_attn.k_proj",
      "model.layers.0.self_attn.v_proj",
      "model.layers.0.self_attn.o_proj",
      "model.layers.0.mlp.gate_proj",
      "model.layers.0.mlp.down_proj",
    ]);
    expect(report.left).toContain("model.layers.1.mlp.down_proj");
  });

  test.each(["f16", "bf16", "int8", "q8_0"] as const)(
    "the embedding and its tied head in %s",
    async (embedding) => {
      for (const device of devices) {
        const model = llama(device, true);
        const before = await logitsOf(model);
        const report = await quantizeModel(model, { scheme: "q8_0", embedding });
        const table = report.layers.at(-1);
        const bytesAfter = { f16: 3200, bf16: 3200, int8: 1600 + 200, q8_0: 1700 }[embedding];
        expect(table).toEqual({
          path: "model.embed_tokens",
          scheme: embedding,
          bytesBefore: 6400,
          bytesAfter,
        });
        // The head and the embedding share what they are stored in.
        const shared = new Set(model.lm_head.parameters());
        expect(model.model.embed_tokens.parameters().every((parameter) => shared.has(parameter))).toBe(true);
        if (embedding === "int8") expect(model.model.embed_tokens).toBeInstanceOf(QuantizedEmbedding);
        else if (embedding === "f16") expect(model.model.embed_tokens).toBeInstanceOf(Embedding);
        const after = await logitsOf(model);
        expect(relative(after, before)).toBeLessThan(0.02);
        expect(after.every((value, i) => value === before[i])).toBe(false);
        model.dispose();
      }
    },
  );

  test("a value that cannot be packed is named with its layer", async () => {
    const model = llama(openCpu(), true);
    const layer = model.get("model.layers.1.self_attn.q_proj") as Linear;
    layer.weight.upload(new Float32Array(1024).fill(Number.NaN));
    await expect(quantizeModel(model, { scheme: "nf4" })).rejects.toThrow(
      "quantizeModel: model.layers.1.self_attn.q_proj: nf4: value 0 must be finite, got NaN.",
    );
  });

  test("the peak is the model and one packed layer", async () => {
    const device = openCpu();
    const model = llama(device, true, 64);
    const { peakBytes } = device.memory();
    const report = await quantizeModel(model, { scheme: "nf4" });
    const largest = Math.max(...report.layers.map(({ bytesBefore }) => bytesBefore));
    expect(device.memory().peakBytes).toBeLessThanOrEqual(peakBytes + largest);
  });
});
