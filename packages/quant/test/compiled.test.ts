// A compiled training step over packed layers gives the bits of the eager one, and keeps what scales take for itself.
import { FrozenParameter, LlamaForCausalLM, llamaConfigFromHf } from "@graft/nn";
import {
  compile,
  crossEntropy,
  type Device,
  fromArray,
  Generator,
  reshape,
  scope,
  type Tensor,
} from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import { expect, test } from "vitest";
import { quantizeModel } from "../src/index.ts";

const { cpu, gpu } = await testDevices();

function llama(device: Device): LlamaForCausalLM {
  const config = llamaConfigFromHf({
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: 32,
    intermediate_size: 96,
    max_position_embeddings: 32,
    num_attention_heads: 2,
    num_hidden_layers: 1,
    num_key_value_heads: 1,
    rms_norm_eps: 1e-5,
    vocab_size: 50,
    hidden_act: "silu",
    tie_word_embeddings: true,
    rope_theta: 10000,
  });
  return new LlamaForCausalLM(config, { device, generator: new Generator(3) });
}

test.each([
  { scheme: "nf4", device: cpu },
  { scheme: "nf4", device: gpu },
  { scheme: "int8", device: gpu },
  { scheme: "q4_0", device: gpu },
])(
  "$scheme on $device.name",
  async ({ scheme, device }) => {
    const start = device.memory().liveBytes;
    const model = llama(device);
    await quantizeModel(model, { scheme, doubleQuant: scheme === "nf4", embedding: "f16" });
    model.freeze();
    const norm = model.model.layers[0].input_layernorm as unknown as {
      weight: { requiresGrad: boolean; grad?: Tensor };
    };
    norm.weight.requiresGrad = true;
    const step = (ids: Tensor, targets: Tensor): Tensor => {
      const logits = model.forward(ids);
      const loss = crossEntropy(reshape(logits, [8, 50]), targets);
      loss.backward();
      return loss;
    };
    const input = (seed: number): [Tensor, Tensor] => {
      const tokens = Array.from({ length: 8 }, (_, i) => (i * 7 + seed * 13) % 50);
      return [
        fromArray(device, tokens, [2, 4], { dtype: "i32" }),
        fromArray(device, tokens.toReversed(), [8], { dtype: "i32" }),
      ];
    };
    const valuesOf = async (run: (ids: Tensor, targets: Tensor) => Tensor, seed: number) => {
      using loss = scope(() => run(...input(seed)).detach());
      const gradient = norm.weight.grad as unknown as Tensor;
      const values = [await loss.toArray(), await gradient.toArray()];
      model.zeroGrad();
      return values;
    };
    const compiled = compile(step, { fuse: false });
    for (const seed of [1, 2, 3]) expect(await valuesOf(compiled, seed)).toEqual(await valuesOf(step, seed));
    expect(compiled.traces).toBe(1);
    expect(
      model.parameters().filter((parameter) => parameter instanceof FrozenParameter).length,
    ).toBeGreaterThan(6);
    compiled.dispose();
    model.dispose();
    expect(device.memory().liveBytes).toBe(start);
  },
  120_000,
);
