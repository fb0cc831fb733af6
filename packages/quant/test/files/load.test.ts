import { readFileSync } from "node:fs";
import { Linear, loadFromGguf, loadFromHf } from "@graft/nn";
import { bytesSource, CheckpointError, type GgufFile, openGguf, openSafetensors } from "@graft/nn/checkpoint";
import { type Device, fromArray, openCpu, openScope, ValueError } from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";
import { loadQuantizedFromGguf, loadQuantizedFromHf } from "../../src/files/load.ts";
import { QuantizedEmbedding } from "../../src/quantizedEmbedding.ts";
import { QuantizedLinear } from "../../src/quantizedLinear.ts";
import { caseOf, configJsonOf, data, floatsOf, names, openCase, openFolder } from "./goldens.ts";

const { cpu, all } = await testDevices();

/** Milliseconds in which a software adapter makes the pipelines of every format. */
const slow = 120_000;

interface Model {
  forward(ids: ReturnType<typeof fromArray>): { toArray(): Promise<ArrayLike<number>> };
}

/** Logits of the ids in a file of expectations. */
async function logitsOf(
  model: Model,
  expected: Awaited<ReturnType<typeof openSafetensors>>,
  device: Device,
): Promise<ArrayLike<number>> {
  using _all = openScope();
  const entry = expected.tensors.get("input_ids");
  const ids = new Int32Array((await expected.readBytes("input_ids")).slice().buffer);
  return model.forward(fromArray(device, ids, entry?.shape ?? [], { dtype: "i32" })).toArray();
}

/** Largest difference over the largest expected value. */
function distance(got: ArrayLike<number>, want: ArrayLike<number>): number {
  expect(got).toHaveLength(want.length);
  const largest = Array.from(want).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const off = Array.from(want).reduce((most, value, i) => {
    const own = Math.abs(value - got[i]);
    return own <= most ? most : own; // not a number is further than anything
  }, 0);
  return off / largest;
}

describe.each(names)("%s, as transformers saved it", (name) => {
  const load = async (device: Device) =>
    loadQuantizedFromHf(configJsonOf(`quant_models/${name}`), await openFolder(`quant_models/${name}`), {
      device,
    });

  test.each(all)(
    "has its logits on $name, from packed layers, and leaves nothing behind",
    async (device) => {
      const { expected } = await openCase(name);
      const before = device.memory().liveBytes;
      const model = await load(device);
      const packed = [...model.namedModules()].filter(([, module]) => module instanceof QuantizedLinear);
      expect(packed.map(([path]) => path).sort()).toEqual(caseOf(name).quantized);
      const theirs = await floatsOf(expected, "logits");
      // As the models in floats: a few roundings of the largest logit. Measured: at most 2e-6.
      expect(distance(await logitsOf(model, expected, device), theirs)).toBeLessThan(5e-6);
      model.dispose();
      expect(device.memory().liveBytes).toBe(before);
    },
    slow,
  );

  test("is not the model it was made from", async () => {
    const { expected } = await openCase(name);
    const { source } = caseOf(name);
    const model = await loadFromHf(configJsonOf(source), await openFolder(source), { device: cpu });
    const theirs = await floatsOf(expected, "logits");
    expect(distance(await logitsOf(model, expected, cpu), theirs)).toBeGreaterThan(5e-4);
    model.dispose();
  });
});

describe("weights that are quantized while they are read", () => {
  const load = async (device: Device, scheme: string, doubleQuant = false) =>
    loadQuantizedFromHf(configJsonOf("models/llama-odd"), await openFolder("models/llama-odd"), {
      device,
      quantize: { scheme, doubleQuant },
    });

  test.each([
    ["nf4", "llama-nf4"],
    ["fp4", "llama-fp4"],
    ["int8", "llama-int8"],
  ])("%s gives what transformers quantized", async (scheme, name) => {
    const { expected } = await openCase(name);
    const model = await load(cpu, scheme);
    const theirs = await floatsOf(expected, "logits");
    expect(distance(await logitsOf(model, expected, cpu), theirs)).toBeLessThan(5e-6);
    model.dispose();
  });

  test("the head stays in floats unless it is asked for", async () => {
    const model = await load(cpu, "nf4");
    expect(model.lm_head).toBeInstanceOf(Linear);
    model.dispose();
    const all4 = await loadQuantizedFromHf(
      configJsonOf("models/llama-odd"),
      await openFolder("models/llama-odd"),
      {
        device: cpu,
        quantize: { scheme: "nf4" },
        exclude: ["layers.1"],
      },
    );
    expect(all4.lm_head).toBeInstanceOf(QuantizedLinear);
    const packed = [...all4.namedModules()].filter(([, module]) => module instanceof QuantizedLinear);
    expect(packed.some(([path]) => path.includes("layers.1."))).toBe(false);
    expect(packed).toHaveLength(8);
    all4.dispose();
  });

  test.each(["nf4", "int4"])("%s: the peak is the packed model and one tensor", async (scheme) => {
    const device = openCpu();
    const model = await load(device, scheme, scheme === "nf4");
    const { liveBytes, peakBytes } = device.memory();
    const largest = 4 * 56 * 42; // an MLP matrix in floats
    expect(peakBytes).toBeLessThanOrEqual(liveBytes + largest);
    model.dispose();
    // The control: the model in floats passes it.
    const dense = await loadFromHf(configJsonOf("models/llama-odd"), await openFolder("models/llama-odd"), {
      device,
    });
    expect(device.memory().peakBytes).toBeGreaterThan(liveBytes + largest);
    dense.dispose();
  });

  test("what cannot be is refused before anything is read", async () => {
    await expect(load(cpu, "nf5")).rejects.toThrow(ValueError);
    const options = { device: cpu, quantize: { scheme: "nf4" } };
    const folder = "quant_models/llama-nf4";
    const again = async () => loadQuantizedFromHf(configJsonOf(folder), await openFolder(folder), options);
    await expect(again()).rejects.toEqual(
      new CheckpointError(
        "loadQuantizedFromHf",
        "model.safetensors: the weights must be floats to be quantized, got nf4. Leave out quantize, or take the unquantized model.",
      ),
    );
  });
});

describe.each(["llama", "qwen2"])("%s.gguf", (name) => {
  const folder = `${data}gguf_models/`;
  const open = (): Promise<GgufFile> => openGguf(bytesSource(readFileSync(`${folder}${name}.gguf`), name));
  const expectation = () => openSafetensors(bytesSource(readFileSync(`${folder}${name}.expect.safetensors`)));

  test.each(all)(
    "keeps its blocks and gives transformers' logits on $name",
    async (device) => {
      const expected = await expectation();
      const before = device.memory().liveBytes;
      const model = await loadQuantizedFromGguf(await open(), { device });
      const schemes = [...model.namedModules()].flatMap(([, module]) =>
        module instanceof QuantizedLinear ? [module.scheme] : [],
      );
      expect(new Set(schemes)).toEqual(new Set(["q4_0", "q4_1", "q8_0"]));
      expect(model.model.embed_tokens).toBeInstanceOf(QuantizedEmbedding);
      expect(model.lm_head instanceof QuantizedLinear).toBe(name === "qwen2"); // whose head is tied; the other's is F16
      const theirs = await floatsOf(expected, "logits");
      expect(distance(await logitsOf(model, expected, device), theirs)).toBeLessThan(5e-6);
      model.dispose();
      expect(device.memory().liveBytes).toBe(before);
    },
    slow,
  );

  test("has the rows of queries and keys where the model in floats has them", async () => {
    const packed = await loadQuantizedFromGguf(await open(), { device: cpu });
    const dense = await loadFromGguf(await open(), { device: cpu });
    for (const layer of packed.model.layers.keys()) {
      const [own, other] = [packed, dense].map(({ model }) => model.layers[layer].self_attn);
      for (const part of ["q_proj", "k_proj", "o_proj"] as const) {
        using _all = openScope();
        expect(await own[part].denseWeight().toArray()).toEqual(await other[part].denseWeight().toArray());
      }
    }
    packed.dispose();
    dense.dispose();
  });

  test("can be quantized anew", async () => {
    const model = await loadQuantizedFromGguf(await open(), { device: cpu, quantize: { scheme: "int8" } });
    const schemes = [...model.namedModules()].flatMap(([, module]) =>
      module instanceof QuantizedLinear ? [module.scheme] : [],
    );
    expect(new Set(schemes)).toEqual(new Set(["int8"]));
    model.dispose();
  });
});
