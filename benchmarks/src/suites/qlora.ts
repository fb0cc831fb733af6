import { injectLora } from "@graft/lora";
import { AdamW, LlamaForCausalLM, llamaConfigFromHf } from "@graft/nn";
import { type QuantizeModelOptions, quantizeModel } from "@graft/quant";
import {
  compile,
  type Device,
  fromArray,
  Generator,
  keep,
  linearCrossEntropy,
  scope,
  type Tensor,
} from "@graft/tensor";
import type { Case, Suite } from "../harness.ts";
import { finishOf } from "./training.ts";

/** Layers of SmolLM2-135M, three instead of thirty, under a small vocabulary, so that the linear layers are most of the work. */
const config = llamaConfigFromHf({
  model_type: "llama",
  vocab_size: 1024,
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 3,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  tie_word_embeddings: true,
});
const tokens = 128;
const flops = 4 * tokens * (3 * 3_538_944 + 1024 * 576);

const bases: readonly (readonly [string, QuantizeModelOptions | undefined])[] = [
  ["LoRA on f32", undefined],
  ["QLoRA on nf4, double quantization", { scheme: "nf4", doubleQuant: true, embedding: "f16" }],
  ["QLoRA on nf4", { scheme: "nf4", embedding: "f16" }],
  ["QLoRA on int8", { scheme: "int8", embedding: "f16" }],
];

/** Training steps of LoRA, rank 8 on every linear layer, over bases in few bits against the base in f32; compiled. */
export const qloraSuite: Suite = {
  name: "qlora",
  large: true,
  async cases(devices) {
    const cases: Case[] = [];
    for (const device of devices)
      for (const [name, options] of bases) cases.push(await stepOf(device, name, options));
    return cases;
  },
};

async function stepOf(
  device: Device,
  name: string,
  options: QuantizeModelOptions | undefined,
): Promise<Case> {
  const start = device.memory().liveBytes;
  const model = new LlamaForCausalLM(config, { device, generator: new Generator(0) });
  if (options !== undefined) await quantizeModel(model, options);
  const lora = { rank: 8, alpha: 16, targetModules: "all-linear" } as const;
  injectLora(model, lora, { generator: new Generator(1) });
  const optimizer = new AdamW(model.namedParameters(), { learningRate: 1e-3 });
  const state = device.memory().liveBytes - start;
  const ids = Int32Array.from({ length: tokens }, (_, i) => (i * 31) % config.vocabSize);
  const [input, targets] = [ids, ids.toReversed()].map((values) =>
    keep(fromArray(device, values, [1, tokens], { dtype: "i32" })),
  );
  const step = compile((x: Tensor, y: Tensor): Tensor => {
    const head = "weight" in model.lm_head ? (model.lm_head.weight as Tensor) : model.lm_head; // a plain Linear
    const loss = linearCrossEntropy(model.hidden(x), head, y);
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss.detach();
  });
  const planned = step.plan(input, targets);
  return {
    name: `${name}, on ${device.kind}`,
    device,
    flops,
    group: device.kind,
    run: () => scope(() => void step(input, targets)),
    finish: () => finishOf(device),
    note: () =>
      `${mega(state)} of state before, ${mega(planned.capturedBytes + planned.bytes)} in all, ${planned.dispatches} dispatches`,
  };
}

const mega = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
