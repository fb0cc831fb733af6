import { injectLora } from "@graft/lora";
import { AdamW, clipGradNorm, LlamaForCausalLM, llamaConfigFromHf } from "@graft/nn";
import { crossEntropy, type Device, fromArray, Generator, scope } from "@graft/tensor";
import type { Case, Suite } from "../harness.ts";

const config = llamaConfigFromHf({
  model_type: "llama",
  vocab_size: 512,
  hidden_size: 128,
  intermediate_size: 320,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  tie_word_embeddings: true,
});
const rows = 2;
const length = 64;

/** One optimiser step of a small Llama, all parameters or LoRA rank 8 on every linear layer. */
export const trainStepSuite: Suite = {
  name: "trainStep",
  async cases(devices) {
    return devices.flatMap((device) => [step(device, "full"), step(device, "lora")]);
  },
};

function step(device: Device, kind: "full" | "lora"): Case {
  const generator = new Generator(0);
  const model = new LlamaForCausalLM(config, { device, generator });
  if (kind === "lora") injectLora(model, { rank: 8, alpha: 16, targetModules: "all-linear" }, { generator });
  const optimizer = new AdamW(model.namedParameters(), { learningRate: 1e-3 });
  const ids = Int32Array.from({ length: rows * length }, (_, i) => (i * 31) % config.vocabSize);
  return {
    name: `${kind}, ${rows}x${length} tokens on ${device.kind}`,
    device,
    run: () =>
      scope(() => {
        const input = fromArray(device, ids, [rows, length], { dtype: "i32" });
        crossEntropy(model.forward(input), input).backward();
        clipGradNorm(optimizer.parameters, 1);
        optimizer.step();
        optimizer.zeroGrad();
      }),
  };
}
