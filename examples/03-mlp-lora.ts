// LoRA on a small network of one's own: a classifier learns which points lie in opposite quadrants (xor), then the
// plane is turned by 45° and it is adapted with its own weights frozen, once on every layer and once on one.
//
//   node examples/dist/03-mlp-lora.js --steps 300 --device cpu
import { injectLora, type LoraOptions, mergeLora, removeLora, unmergeLora } from "@graft/lora";
import { AdamW, Linear, type Module, Sequential } from "@graft/nn";
import {
  argmax,
  cast,
  crossEntropy,
  type Device,
  eq,
  fromArray,
  Generator,
  mean,
  noGrad,
  openCpu,
  relu,
  scope,
  type Tensor,
  type TypedArray,
  uniform,
} from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { type ExampleOptions, runAsProgram } from "./command.ts";

interface Task {
  /** Points `[256, 2]` in the square from −1 to 1. */
  readonly x: Tensor;
  /** Class of each point, `[256]`: 1 in the first and third quadrant of the turned plane, else 0. */
  readonly y: Tensor;
}

async function makeTask(device: Device, generator: Generator, angle: number): Promise<Task> {
  const x = uniform(device, generator.next(), [256, 2], { low: -1, high: 1 });
  const points = await x.toArray();
  const labels = Array.from({ length: 256 }, (_, i) => {
    const [a, b] = [points[2 * i], points[2 * i + 1]];
    const u = Math.cos(angle) * a - Math.sin(angle) * b;
    const v = Math.sin(angle) * a + Math.cos(angle) * b;
    return u * v > 0 ? 1 : 0;
  });
  return { x, y: fromArray(device, labels, [256], { dtype: "i32" }) };
}

/** Trains what is not frozen and gives the loss of each step. */
async function train(
  model: Sequential,
  { x, y }: Task,
  steps: number,
  learningRate: number,
): Promise<number[]> {
  const optimizer = new AdamW(model.namedParameters(), { learningRate, weightDecay: 0 });
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    using loss = scope(() => {
      const cost = crossEntropy(model.forward(x), y);
      cost.backward();
      return cost.detach();
    });
    optimizer.step();
    optimizer.zeroGrad();
    losses.push(await loss.item());
  }
  optimizer.dispose();
  return losses;
}

/** Share of the points whose larger logit is that of their class. */
async function accuracyOf(model: Sequential, { x, y }: Task): Promise<number> {
  using hits = scope(() => noGrad(() => mean(cast(eq(argmax(model.forward(x), -1), y), "f32"))));
  return hits.item();
}

async function weightsOf(model: Module): Promise<TypedArray[]> {
  return Promise.all(model.parameters().map((parameter) => parameter.toBits()));
}

export async function main({ steps, device: kind, learningRate, log }: ExampleOptions) {
  const device = kind === "webgpu" ? await openWebGpu() : openCpu();
  const generator = new Generator(1);
  const task = await makeTask(device, generator, 0);
  const turned = await makeTask(device, generator, Math.PI / 4);
  const layer = (from: number, to: number) => new Linear(from, to, { device, generator });
  const model = new Sequential(layer(2, 32), relu, layer(32, 32), relu, layer(32, 2));

  const losses = await train(model, task, steps, learningRate);
  const baseAccuracy = await accuracyOf(model, task);
  const turnedAccuracy = await accuracyOf(model, turned);
  const { total } = model.parameterCount();
  log(
    `base: ${total} parameters, ${percent(baseAccuracy)} right, on the turned plane ${percent(turnedAccuracy)}`,
  );
  const original = await weightsOf(model);

  /** Injects, trains, merges, unmerges and takes the adapter off again. */
  async function adapt(name: string, options: LoraOptions) {
    const { trainable, replaced } = injectLora(model, { rank: 4, alpha: 8, ...options }, { generator });
    const adapterLosses = await train(model, turned, steps, learningRate);
    const accuracy = await accuracyOf(model, turned);
    await mergeLora(model);
    const mergedAccuracy = await accuracyOf(model, turned);
    unmergeLora(model);
    const unmergedAccuracy = await accuracyOf(model, turned);
    removeLora(model);
    const restored = sameBits(await weightsOf(model), original);
    log(
      `${name}: ${trainable} trained parameters on layers ${replaced.join(", ")}: ${percent(accuracy)} right`,
    );
    log(
      `  merged ${percent(mergedAccuracy)}, unmerged and removed: the base ${restored ? "is the same, bit for bit" : "CHANGED"}`,
    );
    return {
      trainable,
      replaced,
      losses: adapterLosses,
      accuracy,
      mergedAccuracy,
      unmergedAccuracy,
      restored,
    };
  }

  const byType = await adapt("every Linear", { targetModules: (_, module) => module instanceof Linear });
  const byName = await adapt("the first layer, by its name", { targetModules: ["0"] });
  device.close();
  return { losses, total, baseAccuracy, turnedAccuracy, byType, byName };
}

function sameBits(a: readonly TypedArray[], b: readonly TypedArray[]): boolean {
  return a.every((values, i) => Buffer.from(values.buffer).equals(Buffer.from(b[i].buffer)));
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

await runAsProgram(import.meta.url, main, { steps: 300, learningRate: 0.01 });
