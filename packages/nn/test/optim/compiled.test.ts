// A compiled step with the fused loss, clipping and an optimiser does what the same step does uncompiled.
import {
  compile,
  type Device,
  fromArray,
  Generator,
  linearCrossEntropy,
  openScope,
  relu,
  scope,
  sum,
  type Tensor,
  zeros,
} from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";
import {
  AdamW,
  clipFactor,
  gradNorm,
  Linear,
  Module,
  type NamedParameters,
  type Optimizer,
  SGD,
} from "../../src/index.ts";

const { gpu, reference } = await testDevices();

const ROWS = 24;
const CLASSES = 16;

class Net extends Module {
  first: Linear;
  second: Linear;
  head: Linear;

  constructor(device: Device) {
    super();
    const options = { device, generator: new Generator(5) };
    this.first = new Linear(8, 64, options);
    this.second = new Linear(64, 20, { ...options, bias: false });
    this.head = new Linear(20, CLASSES, { ...options, bias: false });
  }

  forward(x: Tensor): Tensor {
    return this.second.forward(relu(this.first.forward(x)));
  }
}

const optimizers: Record<string, (named: NamedParameters) => Optimizer> = {
  AdamW: (named) => new AdamW(named, { weightDecay: 0.1 }),
  SGD: (named) => new SGD(named, { momentum: 0.9, dampening: 0.1, nesterov: false }),
  "AdamW in groups": (named) => {
    const [a, ...others] = named;
    return new AdamW([
      { parameters: [a], weightDecay: 0 },
      { parameters: others, learningRate: 0.02 },
    ]);
  },
};

/** Three steps of a falling rate on other data each; the losses, norms and weights that they leave. */
async function train(
  device: Device,
  make: (named: NamedParameters) => Optimizer,
  how: "eager" | "compiled" | "fused",
): Promise<{ numbers: number[]; adam: number }> {
  using _owner = openScope();
  const model = new Net(device);
  const optimizer = make([...model.namedParameters()]);
  const eager = (x: Tensor, targets: Tensor): Tensor[] =>
    scope(() => {
      const loss = linearCrossEntropy(model.forward(x), model.head.weight, targets, {
        logitBytes: 8 * CLASSES * 4,
      });
      loss.backward();
      const norm = gradNorm(optimizer.parameters);
      optimizer.step({ gradientScale: clipFactor(norm, 0.3) });
      optimizer.zeroGrad();
      return [loss.detach(), norm];
    });
  const compiled = how === "eager" ? undefined : compile(eager, { fuse: how === "fused" });
  const numbers: number[] = [];
  let adam = 0;
  for (let t = 0; t < 3; t++) {
    optimizer.learningRate = 0.1 / (t + 1);
    const x = fromArray(
      device,
      Array.from({ length: ROWS * 8 }, (_, i) => Math.sin(i + 10 * t)),
      [ROWS, 8],
    );
    const targets = fromArray(
      device,
      Array.from({ length: ROWS }, (_, i) => (i * 7 + t) % CLASSES),
      [ROWS],
      { dtype: "i32" },
    );
    if (compiled !== undefined) adam = compiled.plan(x, targets).byOp.get("adamWStep") ?? 0;
    const results = (compiled ?? eager)(x, targets);
    for (const result of results) numbers.push(await result.item());
  }
  expect(optimizer.state().step).toBe(3);
  for (const parameter of model.parameters()) numbers.push(...(await parameter.toArray()));
  compiled?.dispose();
  optimizer.dispose();
  model.dispose();
  return { numbers, adam };
}

describe.each([gpu, reference])("on $name", (device) => {
  test.each(Object.entries(optimizers))("%s", async (_, make) => {
    const { numbers: eager } = await train(device, make, "eager");
    const { numbers: compiled } = await train(device, make, "compiled");
    expect(compiled).toEqual(eager);
    const { numbers: fused } = await train(device, make, "fused");
    const worst = Math.max(...fused.map((value, i) => Math.abs(value - eager[i])));
    // Three steps of rate 0.1 at most: AdamW may turn a last place of a small gradient into a thousandth of its step.
    expect(worst).toBeLessThan(1e-4);
    const moved = await train(device, (named) => new AdamW(named, { weightDecay: 0.2 }), "compiled");
    expect(Math.max(...moved.numbers.map((value, i) => Math.abs(value - eager[i])))).toBeGreaterThan(1e-4);
  });
});

test("a compiled step changes all parameters of a group in one dispatch", async () => {
  // Their sizes are multiples of 64: gradients that one kernel writes begin at 256 bytes each.
  expect((await train(gpu, optimizers.AdamW, "compiled")).adam).toBe(1);
  expect((await train(gpu, optimizers["AdamW in groups"], "compiled")).adam).toBe(2);
});

test.each([gpu, reference])("4,096 rows of 49,152 logits are planned in 96 MiB, on $name", (device) => {
  using _owner = openScope();
  const weight = zeros(device, [49_152, 8]);
  const step = compile((x: Tensor, targets: Tensor) =>
    scope(() => {
      const states = x.mul(1);
      states.requiresGrad = true;
      linearCrossEntropy(states, weight, targets, { reduction: "sum" }).backward();
      return sum(states.grad ?? x);
    }),
  );
  const plan = step.plan(zeros(device, [4096, 8]), zeros(device, [4096], { dtype: "i32" }));
  // Besides the logits: x, its gradient, whole and scaled, and its eight pieces; targets and losses.
  const beside = 4 * 4096 * (6 * 8 + 6);
  expect(plan.bytes).toBeGreaterThanOrEqual(96 * 2 ** 20);
  expect(plan.bytes).toBeLessThanOrEqual(96 * 2 ** 20 + beside);
  step.dispose();
});
