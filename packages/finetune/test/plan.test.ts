// What --dry-run says against what training then takes.
import { injectLora } from "@graft/lora";
import { AdamW } from "@graft/nn";
import { Generator, openCpu } from "@graft/tensor";
import { describe, expect, test } from "vitest";
import { makeBatch } from "../src/dataset/batching.ts";
import type { Example } from "../src/dataset/example.ts";
import { openModel } from "../src/model/open.ts";
import { planTraining, type TrainingPlan } from "../src/plan.ts";
import { TrainingStep } from "../src/train/step.ts";
import { golden } from "./graft.ts";

const examples: Example[] = [24, 9, 17].map((length, row) => {
  const inputIds = Array.from({ length }, (_, i) => (i * 7 + row) % 60);
  return { inputIds, labels: inputIds };
});
const options = { batchSize: 2, accumulate: 1, maxGradNorm: 1 };

/** A plan, and the bytes that were alive at most while two steps were taken. */
async function planned(
  weights: "floats" | { scheme: string },
): Promise<{ plan: TrainingPlan; peak: number }> {
  const device = openCpu();
  await using opened = await openModel(golden("models/llama-odd"));
  const model = await opened.load(device, { weights });
  const base = device.memory().liveBytes;
  injectLora(model, { rank: 4, targetModules: "all-linear" }, { generator: new Generator(1) });
  const before = device.memory().liveBytes;
  const plan = planTraining(model, device, base, examples, options);
  expect(device.memory().liveBytes).toBe(before + plan.tables); // it frees what it made

  const named = [...model.namedParameters()].filter(([, parameter]) => parameter.requiresGrad);
  const optimizer = new AdamW(named);
  using step = new TrainingStep(model, optimizer, options.maxGradNorm);
  const batch = makeBatch(examples.slice(0, 2));
  for (let t = 0; t < 2; t++) await step.run({ batches: [batch], targets: batch.targets });
  const peak = device.memory().peakBytes;
  optimizer.dispose();
  return { plan, peak };
}

describe("the planned peak", () => {
  test.each([["floats" as const], [{ scheme: "nf4" }]])("is what two steps take: %j", async (weights) => {
    const { plan, peak } = await planned(weights);
    // Batches and figures of a step come and go beside it: ids, positions, targets, two numbers.
    expect(peak).toBeGreaterThan(plan.peakBytes * 0.98);
    expect(peak).toBeLessThan(plan.peakBytes * 1.02 + 4096);
    // The control: the state alone is far from it.
    expect(plan.staticBytes).toBeLessThan(0.8 * peak);
  });
});
