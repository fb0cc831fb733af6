// Budgets of a compiled LoRA step, rank 8 on all linear layers, on a small Llama with the proportions of SmolLM2.
import { AdamW, clipFactor, gradNorm, LlamaForCausalLM } from "@graft/nn";
import {
  type Compiled,
  compile,
  type Device,
  fromArray,
  Generator,
  indexSelect,
  linearCrossEntropy,
  openScope,
  reshape,
  scope,
  type Tensor,
} from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { testDevices } from "@graft/tensor/testing";
import { expect, test } from "vitest";
import { injectLora } from "../src/index.ts";

const { cpu, gpu } = await testDevices();
const VOCAB = 64;

type Step = [ids: Tensor, positions: Tensor, targets: Tensor];

interface Training extends Disposable {
  readonly body: (...args: Step) => Tensor;
  readonly step: Compiled<Step, Tensor>;
}

function trainingOn(device: Device, numHiddenLayers: number): Training {
  const hiddenSize = 48;
  const model = new LlamaForCausalLM(
    {
      modelType: "llama",
      vocabSize: VOCAB,
      hiddenSize,
      intermediateSize: 128,
      numHiddenLayers,
      numAttentionHeads: 3,
      numKeyValueHeads: 1,
      headDim: 16,
      rmsNormEps: 1e-5,
      ropeTheta: 10000,
      tieWordEmbeddings: true,
      hiddenAct: "silu",
    } as ConstructorParameters<typeof LlamaForCausalLM>[0], // every other field has a meaning when it is missing
    { device, generator: new Generator(3) },
  );
  injectLora(model, { rank: 8, alpha: 16, targetModules: "all-linear" }, { generator: new Generator(9) });
  const optimizer = new AdamW(model.namedParameters(), { learningRate: 1e-2 });
  const { weight } = model.model.embed_tokens;
  const body = (ids: Tensor, positions: Tensor, targets: Tensor): Tensor =>
    scope(() => {
      const states = indexSelect(reshape(model.hidden(ids), [ids.size, hiddenSize]), 0, positions);
      const loss = linearCrossEntropy(states, weight, targets, { reduction: "sum" });
      loss.backward();
      optimizer.step({ gradientScale: clipFactor(gradNorm(optimizer.parameters), 1) });
      optimizer.zeroGrad();
      return loss;
    });
  const step = compile(body);
  return {
    body,
    step,
    [Symbol.dispose]() {
      step.dispose();
      optimizer.dispose();
      model.dispose();
    },
  };
}

/** The arguments of a step over one text of `length` tokens. */
function textOf(device: Device, length: number): Step {
  const places = Array.from({ length }, (_, i) => i);
  const ints = (values: number[], shape: number[]): Tensor =>
    fromArray(device, values, shape, { dtype: "i32" });
  return [
    ints(
      places.map((i) => (7 * i) % VOCAB),
      [1, length],
    ),
    ints(places, [length]),
    ints(
      places.map((i) => (7 * i + 7) % VOCAB),
      [length],
    ),
  ];
}

function dispatchesOf(layers: number): { dispatches: number; byOp: ReadonlyMap<string, number> } {
  using _ = openScope();
  using training = trainingOn(gpu, layers);
  return training.step.plan(...textOf(gpu, 32));
}

test("a layer takes at most 36 dispatches, forward and backward, and SmolLM2's 30 layers at most 1,150", () => {
  const [two, three] = [dispatchesOf(2), dispatchesOf(3)];
  const layer = three.dispatches - two.dispatches;
  const text = [...three.byOp].map(
    ([name, count]) => `${name} ${count - (two.byOp.get(name) ?? 0)}/${count}`,
  );
  expect(layer, text.join(", ")).toBeLessThanOrEqual(36);
  expect(two.dispatches + 28 * layer).toBeLessThanOrEqual(1150);
});

test("from the third step on nothing is made or waited for, and a second length compiles nothing", async () => {
  const device = await openWebGpu();
  try {
    using _ = openScope();
    using training = trainingOn(device, 2);
    const [short, long] = [textOf(device, 24), textOf(device, 40)];
    for (let i = 0; i < 2; i++) training.step(...short).dispose();
    const before = { ...device.counters };
    for (let i = 0; i < 3; i++) training.step(...short).dispose();
    const { buffersCreated, bindGroupsCreated, pipelinesCreated, readBacks } = before;
    expect(device.counters).toMatchObject({ buffersCreated, bindGroupsCreated, pipelinesCreated, readBacks });
    expect(pipelinesCreated).toBeLessThanOrEqual(40);
    training.step(...long).dispose();
    expect(device.counters.pipelinesCreated).toBe(pipelinesCreated);
    expect(training.step.traces).toBe(2);
  } finally {
    device.close();
  }
});

test("the planned peak is what is taken, to the byte, and at most half of what the tape holds", async () => {
  const device = await openWebGpu();
  try {
    using _ = openScope();
    using training = trainingOn(device, 4);
    const text = textOf(device, 64);
    const before = device.memory();
    training.body(...text).dispose();
    const eager = device.memory().peakBytes - before.liveBytes;
    const { bytes } = training.step.plan(...text);
    const start = device.memory().liveBytes;
    training.step(...text).dispose();
    expect(device.memory().liveBytes - start).toBe(bytes);
    expect(bytes).toBeLessThanOrEqual(eager / 2);
  } finally {
    device.close();
  }
});

test("the same runs are replayed by the CPU device", async () => {
  using _ = openScope();
  using training = trainingOn(cpu, 2);
  const losses: number[] = [];
  for (let i = 0; i < 4; i++) losses.push(await training.step(...textOf(cpu, 16)).item());
  expect(training.step.traces).toBe(1);
  expect(losses[3]).toBeLessThan(losses[0]);
});
