import { crossEntropy, type Device, openScope } from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";
import type { LlamaForCausalLM } from "../src/models/llama.ts";
import { distance, type Golden, idsOf, known, loadModel, modelNames, readGolden, targetsOf } from "./support/golden.ts";

const { reference, cpu, gpu, all } = await testDevices();

async function measure(golden: Golden, model: LlamaForCausalLM, device: Device) {
  const owner = openScope();
  try {
    const logits = model.forward(idsOf(golden, device));
    const loss = crossEntropy(logits, targetsOf(golden, device));
    loss.backward();
    const gradients = new Map<string, number>();
    for (const [name, parameter] of model.namedParameters()) {
      const got = await known(parameter.grad, `gradient of ${name}`).toArray();
      gradients.set(name, distance(got, known(golden.gradients.get(name), name).values));
    }
    expect([...gradients.keys()].sort()).toEqual([...golden.gradients.keys()].sort());
    return {
      logits: distance(await logits.toArray(), golden.tensor("logits").values),
      loss: Math.abs((await loss.item()) - golden.loss),
      gradients,
    };
  } finally {
    owner[Symbol.dispose]();
    model.zeroGrad();
  }
}

describe.each(modelNames)("%s", (name) => {
  test.each(all)("$name $kind", async (device) => {
    const golden = await readGolden(name);
    const before = device.memory().liveBytes;
    const model = await loadModel(name, device);
    const { logits, loss, gradients } = await measure(golden, model, device);
    console.log(name, device.kind, { logits, loss, worst: [...gradients].sort((a, b) => b[1] - a[1])[0], noise: golden.noise });
    model.dispose();
    expect(device.memory().liveBytes).toBe(before);
  });
});
