// A compiled LoRA step on devices that can do less, and laws of it that no kernel may break.
import { AdamW, LlamaForCausalLM } from "@graft/nn";
import {
  compile,
  type Device,
  fromArray,
  Generator,
  grad,
  linearCrossEntropy,
  openScope,
  reshape,
  type Tensor,
} from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";
import { injectLora } from "../src/index.ts";

const VOCAB = 48;
const LENGTH = 20;
const WIDTH = 32;

function modelOn(device: Device): LlamaForCausalLM {
  const model = new LlamaForCausalLM(
    {
      modelType: "llama",
      vocabSize: VOCAB,
      hiddenSize: WIDTH,
      intermediateSize: 64,
      numHiddenLayers: 2,
      numAttentionHeads: 4,
      numKeyValueHeads: 2,
      headDim: 8,
      rmsNormEps: 1e-5,
      ropeTheta: 10000,
      tieWordEmbeddings: true,
      hiddenAct: "silu",
    } as ConstructorParameters<typeof LlamaForCausalLM>[0], // every other field has a meaning when it is missing
    { device, generator: new Generator(3) },
  );
  const lora = { rank: 4, alpha: 8, targetModules: "all-linear", initLoraWeights: "gaussian" } as const;
  injectLora(model, lora, { generator: new Generator(9) });
  return model;
}

/** Rows of tokens, and what each position must predict. */
function rowsOn(device: Device, from: number, to: number): [ids: Tensor, targets: Tensor] {
  const tokens = (shift: number): Tensor =>
    fromArray(
      device,
      Array.from({ length: (to - from) * LENGTH }, (_, i) => (5 * (i + from * LENGTH) + shift) % VOCAB),
      [to - from, LENGTH],
      { dtype: "i32" },
    );
  return [tokens(0), tokens(5)];
}

const lossOf = (model: LlamaForCausalLM, ids: Tensor, targets: Tensor): Tensor => {
  const states = reshape(model.hidden(ids), [ids.size, WIDTH]);
  return linearCrossEntropy(states, model.model.embed_tokens.weight, reshape(targets, [ids.size]), {
    reduction: "sum",
  });
};

/** Losses of four steps. */
async function train(device: Device): Promise<number[]> {
  using _ = openScope();
  const model = modelOn(device);
  const optimizer = new AdamW(model.namedParameters(), { learningRate: 1e-2 });
  const step = compile((ids: Tensor, targets: Tensor) => {
    const loss = lossOf(model, ids, targets);
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss.detach();
  });
  const losses: number[] = [];
  for (let i = 0; i < 4; i++) losses.push(await step(...rowsOn(device, 0, 2)).item());
  step.dispose();
  optimizer.dispose();
  model.dispose();
  return losses;
}

const { cpu, gpu, all } = await testDevices();

// Each device sums in an order of its own: roundings of 2⁻²⁴ through two layers and four steps.
const CLOSE = 2e-5;

describe("a compiled step", () => {
  test.each([
    ["default limits", { limits: "default" }],
    ["no optional feature, params in a buffer", { limits: "default", features: [], immediates: false }],
  ] as const)("gives the losses of the CPU device with %s", { timeout: 120_000 }, async (_, options) => {
    const device = await openWebGpu(options);
    try {
      const [got, wanted] = [await train(device), await train(cpu)];
      got.forEach((loss, i) => {
        expect(Math.abs(loss / wanted[i] - 1)).toBeLessThan(CLOSE);
      });
      // The control: one step of training is farther than that.
      expect(Math.abs(wanted[1] / wanted[0] - 1)).toBeGreaterThan(CLOSE);
    } finally {
      device.close();
    }
  });

  test.each(all)("gives the same bits twice on $name", async (device) => {
    expect(await train(device)).toEqual(await train(device));
  });

  test.each([cpu, gpu])("has the gradients of a batch, also in parts, on $name", async (device) => {
    using _ = openScope();
    const model = modelOn(device);
    const trained = model.parameters().filter((parameter) => parameter.requiresGrad);
    const gradients = compile((ids: Tensor, targets: Tensor) => grad(lossOf(model, ids, targets), trained));
    const valuesOf = (tensors: readonly Tensor[]) => Promise.all(tensors.map((tensor) => tensor.toArray()));
    const whole = await valuesOf(gradients(...rowsOn(device, 0, 3)));
    const parts = await Promise.all(
      [
        [0, 1],
        [1, 3],
      ].map(([from, to]) => valuesOf(gradients(...rowsOn(device, from, to)))),
    );
    const largest = Math.max(...whole.flatMap((values) => Array.from(values, Math.abs)));
    whole.forEach((values, k) => {
      values.forEach((value, i) => {
        // Sums of 60 rows in another order.
        expect(Math.abs(value - parts[0][k][i] - parts[1][k][i])).toBeLessThan(CLOSE * largest);
      });
    });
    // The control: a part alone is not the whole.
    const missing = whole.flatMap((values, k) =>
      Array.from(values, (value, i) => Math.abs(value - parts[0][k][i])),
    );
    expect(Math.max(...missing)).toBeGreaterThan(CLOSE * largest);
    gradients.dispose();
    model.dispose();
  });
});
