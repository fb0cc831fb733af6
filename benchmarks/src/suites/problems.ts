import { GPT2LMHeadModel, gpt2ConfigFromHf, Linear, Module } from "@graft/nn";
import {
  crossEntropy,
  type Device,
  fromArray,
  Generator,
  mean,
  normal,
  openCpu,
  relu,
  square,
  sub,
  type Tensor,
} from "@graft/tensor";
import type { GptProblem, MlpProblem, Values } from "../peers.ts";

const adamW = { learningRate: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01 } as const;

/** A model of Graft and the loss that a problem asks of it. */
export interface Task {
  readonly model: Module;
  /** What changes from step to step would be passed to `lossOf`; here it is one batch again and again. */
  readonly inputs: readonly Tensor[];
  readonly lossOf: (...inputs: Tensor[]) => Tensor;
}

/** Linear layers with ReLU between them. */
class Mlp extends Module {
  layers: Linear[];

  constructor(sizes: readonly number[], options: { device: Device; generator?: Generator }) {
    super();
    this.layers = sizes.slice(1).map((out, i) => new Linear(sizes[i], out, options));
  }

  forward(x: Tensor): Tensor {
    return this.layers.reduce((y, layer, i) => layer.forward(i === 0 ? y : relu(y)), x);
  }
}

/** 512-1024-1024-512, a batch of 128. */
export async function mlpProblem(): Promise<MlpProblem> {
  const device = openCpu();
  const sizes = [512, 1024, 1024, 512];
  const generator = new Generator(0);
  const model = new Mlp(sizes, { device, generator });
  return {
    sizes,
    input: await valuesOf(normal(device, generator.next(), [128, sizes[0]])),
    target: await valuesOf(normal(device, generator.next(), [128, sizes[3]])),
    parameters: await parametersOf(model),
    adamW,
  };
}

export async function mlpTask(problem: MlpProblem, device: Device): Promise<Task> {
  const model = new Mlp(problem.sizes, { device });
  await fill(model, problem.parameters);
  return {
    model,
    inputs: [problem.input, problem.target].map(({ values, shape }) => fromArray(device, values, shape)),
    lossOf: (input, target) => mean(square(sub(model.forward(input), target))),
  };
}

/** 2 layers, width 256, 4 heads, 4 rows of 128 tokens, vocabulary 512: in the order of a small character model. */
export async function gptProblem(): Promise<GptProblem> {
  const [layers, width, heads, vocabulary, rows, length] = [2, 256, 4, 512, 4, 128];
  const problem = { layers, width, heads, vocabulary, rows, length, layerNormEps: 1e-5 };
  const model = new GPT2LMHeadModel(gptConfig(problem), { device: openCpu(), generator: new Generator(0) });
  const text = Int32Array.from({ length: rows * length + 1 }, (_, i) => (i * i * 31 + i) % vocabulary);
  return {
    ...problem,
    ids: text.slice(0, -1),
    targets: text.slice(1),
    parameters: await parametersOf(model),
    adamW,
  };
}

function gptConfig(problem: Omit<GptProblem, "ids" | "targets" | "parameters" | "adamW">) {
  return gpt2ConfigFromHf({
    model_type: "gpt2",
    vocab_size: problem.vocabulary,
    n_positions: problem.length,
    n_embd: problem.width,
    n_layer: problem.layers,
    n_head: problem.heads,
    layer_norm_epsilon: problem.layerNormEps,
  });
}

export async function gptTask(problem: GptProblem, device: Device): Promise<Task> {
  const model = new GPT2LMHeadModel(gptConfig(problem), { device });
  await fill(model, problem.parameters);
  const shape = [problem.rows, problem.length];
  return {
    model,
    inputs: [problem.ids, problem.targets].map((ids) => fromArray(device, ids, shape, { dtype: "i32" })),
    lossOf: (ids, targets) => crossEntropy(model.forward(ids), targets),
  };
}

/** Floating-point operations of the products of a step: forward, and twice as many backward; of attention the causal half. */
export function gptFlops({ layers, width, vocabulary, rows, length }: GptProblem): number {
  const tokens = rows * length;
  const matrices = layers * 12 * width * width + vocabulary * width;
  return 3 * (2 * tokens * matrices + layers * 2 * tokens * length * width);
}

export function mlpFlops({ sizes, input }: MlpProblem): number {
  const matrices = sizes.slice(1).map((out, i) => sizes[i] * out);
  // Nobody asks for the gradient of the input.
  return 2 * input.shape[0] * (3 * matrices.reduce((a, b) => a + b, 0) - matrices[0]);
}

async function valuesOf(tensor: Tensor): Promise<Values> {
  return { shape: tensor.shape, values: Float32Array.from(await tensor.toArray()) };
}

async function parametersOf(model: Module): Promise<Record<string, Values>> {
  const found: Record<string, Values> = {};
  for (const [name, parameter] of model.namedParameters()) found[name] = await valuesOf(parameter);
  return found;
}

async function fill(model: Module, parameters: Readonly<Record<string, Values>>): Promise<void> {
  for (const [name, parameter] of model.namedParameters()) parameter.upload(parameters[name].values);
}
