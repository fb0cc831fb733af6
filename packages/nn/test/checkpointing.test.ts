// Blocks that run again in backward give the bits of blocks that keep their values, and hold less meanwhile.
import {
  compile,
  crossEntropy,
  type Device,
  fromArray,
  Generator,
  openCpu,
  openScope,
  reshape,
  scope,
  type Tensor,
} from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import { expect, test } from "vitest";
import { llamaConfigFromHf } from "../src/models/config.ts";
import { LlamaForCausalLM } from "../src/models/llama.ts";

const { cpu, gpu } = await testDevices();

function llama(device: Device): LlamaForCausalLM {
  const config = llamaConfigFromHf({
    model_type: "llama",
    hidden_size: 16,
    intermediate_size: 64,
    num_attention_heads: 2,
    num_hidden_layers: 4,
    num_key_value_heads: 1,
    rms_norm_eps: 1e-5,
    vocab_size: 20,
    tie_word_embeddings: true,
  });
  return new LlamaForCausalLM(config, { device, generator: new Generator(3) });
}

function setCheckpointing(model: LlamaForCausalLM, mode: boolean): void {
  for (const block of model.model.layers) block.gradientCheckpointing = mode;
}

const lossOf = (model: LlamaForCausalLM, ids: Tensor): Tensor => {
  const loss = crossEntropy(reshape(model.forward(ids), [ids.size, 20]), reshape(ids, [ids.size]));
  loss.backward();
  return loss;
};

const idsOn = (device: Device, length: number): Tensor =>
  fromArray(
    device,
    Array.from({ length: 2 * length }, (_, i) => (i * 7) % 20),
    [2, length],
    { dtype: "i32" },
  );

test.each([cpu, gpu])(
  "loss and gradients are the same bits on $name, eager and compiled",
  async (device) => {
    const model = llama(device);
    const gradients = async (run: (ids: Tensor) => Tensor): Promise<unknown[]> => {
      using _all = openScope();
      const loss = await run(idsOn(device, 6)).toArray();
      const values = await Promise.all(model.parameters().map(({ grad }) => grad?.toArray()));
      model.zeroGrad();
      return [loss, ...values];
    };
    const step = (ids: Tensor): Tensor => lossOf(model, ids);
    const plain = await gradients(step);
    expect(plain.every((values) => values !== undefined)).toBe(true);
    setCheckpointing(model, true);
    expect(await gradients(step)).toEqual(plain);
    const compiled = compile(step, { fuse: false });
    expect(await gradients(compiled)).toEqual(plain);
    // A change of mind is noticed.
    setCheckpointing(model, false);
    expect(await gradients(compiled)).toEqual(plain);
    expect(compiled.traces).toBe(2);
    compiled.dispose();
    model.dispose();
  },
  120_000,
);

test("less is held between forward and backward", () => {
  const held = (mode: boolean): number => {
    const device = openCpu();
    const model = llama(device);
    setCheckpointing(model, mode);
    const before = device.memory().liveBytes;
    const loss = scope(() =>
      crossEntropy(reshape(model.forward(idsOn(device, 16)), [32, 20]), idsOn(device, 16).reshape([32])),
    );
    const after = device.memory().liveBytes;
    loss.dispose();
    model.dispose();
    return after - before;
  };
  expect(held(true)).toBeLessThan(held(false) / 3);
});
