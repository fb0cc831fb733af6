import { add, fromArray, mul, sum, type Tensor } from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  AdamW,
  CheckpointError,
  clipGradNorm,
  gradNorm,
  type Optimizer,
  Parameter,
  SGD,
} from "../../src/index.ts";
import { distance, known, readJson } from "../support/golden.ts";

const { reference, cpu, gpu, all } = await testDevices();

/** f64 differs from torch by the order of operations; f32 by its roundings, of which a step has about ten. */
const runs = [
  { device: reference, dtype: "f64", budget: 1e-13 },
  { device: cpu, dtype: "f64", budget: 1e-13 },
  { device: cpu, dtype: "f32", budget: 1e-6 },
  { device: gpu, dtype: "f32", budget: 1e-6 },
] as const;

interface Trajectory {
  readonly options: Readonly<Record<string, number>> & {
    readonly betas: [number, number];
    readonly nesterov: boolean;
  };
  readonly start: number[];
  readonly gradients: number[][];
  readonly after: number[][];
}

const golden = readJson("optimizers.json") as {
  adamw: Trajectory[];
  sgd: Trajectory[];
  clipGradNorm: { maxNorm: number; gradients: number[][]; norm: number; clipped: number[][] }[];
};

type Run = (typeof runs)[number];

function titled(trajectories: Trajectory[]): [string, Trajectory][] {
  return trajectories.map((trajectory) => [JSON.stringify(trajectory.options), trajectory]);
}

function parameter({ device, dtype }: Run, values: number[]): Parameter {
  return new Parameter(fromArray(device, values, [values.length], { dtype }));
}

function giveGradient(p: Parameter, values: number[]): void {
  p.grad?.dispose();
  p.grad = fromArray(p.device, values, p.shape, { dtype: p.dtype });
}

async function farthest(
  run: Run,
  { start, gradients, after }: Trajectory,
  make: (p: Parameter) => Optimizer,
): Promise<number> {
  const p = parameter(run, start);
  const optimizer = make(p);
  let worst = 0;
  for (const [i, gradient] of gradients.entries()) {
    giveGradient(p, gradient);
    optimizer.step();
    worst = Math.max(worst, distance(await p.toArray(), after[i]));
  }
  optimizer.zeroGrad();
  optimizer.dispose();
  p.dispose();
  return worst;
}

function adamW(
  p: Parameter,
  { options }: Trajectory,
  change: { weightDecay?: number; eps?: number } = {},
): AdamW {
  const { lr, betas, eps, weight_decay: weightDecay } = options;
  return new AdamW([["p", p]], { learningRate: lr, betas, eps, weightDecay, ...change });
}

function sgd(p: Parameter, { options }: Trajectory, change: { momentum?: number } = {}): SGD {
  const { lr, momentum, dampening, nesterov, weight_decay: weightDecay } = options;
  return new SGD([["p", p]], { learningRate: lr, momentum, dampening, nesterov, weightDecay, ...change });
}

describe.each(runs)("on $device.name in $dtype", (run) => {
  test.each(titled(golden.adamw))("AdamW walks as torch's with %s", async (_, trajectory) => {
    expect(await farthest(run, trajectory, (p) => adamW(p, trajectory))).toBeLessThan(run.budget);
    const { weight_decay: decay, eps } = trajectory.options;
    const changes = [{ weightDecay: decay + 1e-3 }, { eps: eps * 1.01 + 1e-4 }];
    for (const change of changes)
      expect(await farthest(run, trajectory, (p) => adamW(p, trajectory, change))).toBeGreaterThan(
        run.budget,
      );
  });

  test.each(titled(golden.sgd))("SGD walks as torch's with %s", async (_, trajectory) => {
    expect(await farthest(run, trajectory, (p) => sgd(p, trajectory))).toBeLessThan(run.budget);
    const momentum = trajectory.options.momentum + 1e-3;
    expect(await farthest(run, trajectory, (p) => sgd(p, trajectory, { momentum }))).toBeGreaterThan(
      run.budget,
    );
  });

  test.each(golden.clipGradNorm)(
    "clipping to $maxNorm is torch's",
    async ({ maxNorm, gradients, norm, clipped }) => {
      const before = run.device.memory().liveBytes;
      const parameters = gradients.map((values) =>
        parameter(
          run,
          values.map(() => 0),
        ),
      );
      parameters.forEach((p, i) => {
        giveGradient(p, gradients[i]);
      });
      const got = clipGradNorm(parameters, maxNorm);
      expect(Math.abs((await got.item()) / norm - 1)).toBeLessThan(run.budget);
      for (const [i, p] of parameters.entries()) {
        const values = await known(p.grad, "gradient").toArray();
        expect(distance(values, clipped[i])).toBeLessThan(run.budget);
        if (norm > maxNorm) expect(distance(values, gradients[i])).toBeGreaterThan(run.budget);
        p.grad?.dispose();
        p.dispose();
      }
      got.dispose();
      expect(run.device.memory().liveBytes).toBe(before);
    },
  );
});

test.each(all)(
  "weight decay takes exactly learningRate · weightDecay · parameter more, on $name",
  async (device) => {
    const start = [1, -2, 0.5, 0];
    const after = async (weightDecay: number): Promise<ArrayLike<number>> => {
      const p = new Parameter(fromArray(device, start, [4]));
      const optimizer = new AdamW([["p", p]], { learningRate: 0.125, weightDecay });
      giveGradient(p, [0, 0, 0, 0]);
      optimizer.step();
      optimizer.dispose();
      const values = await p.toArray();
      optimizer.zeroGrad();
      p.dispose();
      return values;
    };
    expect([...Array.from(await after(0))]).toEqual(start);
    // 1 − 0.125 · 0.5 is exact in binary, so is each product.
    expect(Array.from(await after(0.5))).toEqual(start.map((value) => value * (1 - 0.125 * 0.5)));
  },
);

test("weight decay does not pass through the moments", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: -3, max: 3, noNaN: true }),
      async (weightDecay, gradient) => {
        const step = async (decay: number): Promise<{ p: number; moments: number[] }> => {
          const p = new Parameter(fromArray(reference, [2], [1], { dtype: "f64" }));
          const optimizer = new AdamW([["p", p]], { learningRate: 0.1, weightDecay: decay });
          giveGradient(p, [gradient]);
          optimizer.step();
          const { tensors } = optimizer.state();
          const moments = await Promise.all([...tensors.values()].map((tensor) => tensor.item()));
          return { p: await p.item(), moments };
        };
        const [plain, decayed] = [await step(0), await step(weightDecay)];
        expect(decayed.moments).toEqual(plain.moments);
        expect(plain.p - decayed.p).toBeCloseTo(0.1 * weightDecay * 2, 12);
      },
    ),
    { numRuns: 30 },
  );
});

describe.each(all)("resuming on $name", (device) => {
  const makers: Record<string, (named: [string, Parameter][]) => Optimizer> = {
    AdamW: (named) => new AdamW(named, { learningRate: 0.05 }),
    "SGD with momentum": (named) => new SGD(named, { learningRate: 0.05, momentum: 0.9, dampening: 0.3 }),
  };
  test.each(Object.entries(makers))("%s goes on bit for bit", async (_, make) => {
    const before = device.memory().liveBytes;
    const gradient = (t: number): number[] => [Math.sin(t), Math.cos(3 * t), t / 7];
    const walk = (p: Parameter, optimizer: Optimizer, from: number, to: number): void => {
      for (let t = from; t < to; t++) {
        giveGradient(p, gradient(t));
        optimizer.step();
      }
    };
    const straight = new Parameter(fromArray(device, [1, 2, 3], [3]));
    const one = make([["p", straight]]);
    walk(straight, one, 0, 4);

    const resumed = new Parameter(fromArray(device, await straight.toArray(), [3]));
    const two = make([["p", resumed]]);
    const { step, tensors } = one.state();
    expect(step).toBe(4);
    const saved = new Map<string, Tensor>();
    // From another device, as after a checkpoint.
    for (const [name, tensor] of tensors)
      saved.set(name, fromArray(cpu, await tensor.toArray(), tensor.shape));
    await two.loadState({ step, tensors: saved });

    walk(straight, one, 4, 8);
    walk(resumed, two, 4, 8);
    expect(await resumed.toBits()).toEqual(await straight.toBits());
    const fresh = make([["p", resumed]]);
    walk(straight, one, 8, 9);
    walk(resumed, fresh, 8, 9);
    expect(await resumed.toBits(), "without the state the step is another").not.toEqual(
      await straight.toBits(),
    );

    for (const optimizer of [one, two, fresh]) {
      optimizer.zeroGrad();
      optimizer.dispose();
    }
    for (const tensor of [straight, resumed, ...saved.values()]) tensor.dispose();
    expect(device.memory().liveBytes).toBe(before);
  });
});

describe("an optimiser", () => {
  const p = (): Parameter => new Parameter(fromArray(cpu, [1, 2], [2]));

  test("passes over what was frozen after it was made", async () => {
    const [a, b] = [p(), p()];
    const optimizer = new SGD(
      [
        ["a", a],
        ["b", b],
      ],
      { learningRate: 1 },
    );
    b.requiresGrad = false;
    sum(add(mul(a, 1), mul(b, 1))).backward();
    optimizer.step();
    expect(Array.from(await a.toArray())).toEqual([0, 1]);
    expect(Array.from(await b.toArray())).toEqual([1, 2]);
  });

  test("changes nothing where one gradient is missing", async () => {
    const [a, b] = [p(), p()];
    const optimizer = new AdamW([
      ["a", a],
      ["b.weight", b],
    ]);
    giveGradient(a, [1, 1]);
    expect(() => optimizer.step()).toThrow(
      "optimizer.step: b.weight has no gradient. Does the loss depend on it, and was backward called?",
    );
    expect(Array.from(await a.toArray())).toEqual([1, 2]);
    expect(optimizer.state().step).toBe(0);
  });

  const frozen = new Parameter(fromArray(cpu, [1], [1]), false);
  const half = new Parameter(fromArray(cpu, [1], [1], { dtype: "bf16" }));
  const same = p();
  test.each<[string, () => unknown, string]>([
    [
      "nothing to train",
      () => new AdamW([["a", frozen]]),
      "optimizer: there must be at least one parameter that requires a gradient. Is everything frozen?",
    ],
    [
      "half floats",
      () => new AdamW([["a", half]]),
      "optimizer: a must be f32 to be trained, got bf16. Load the model in f32, or freeze it.",
    ],
    [
      "one name twice",
      () =>
        new AdamW([
          ["a", p()],
          ["a", p()],
        ]),
      "optimizer: parameters and names must be given once, got a twice.",
    ],
    [
      "one parameter twice",
      () =>
        new SGD([
          ["a", same],
          ["b", same],
        ]),
      "optimizer: parameters and names must be given once, got b twice.",
    ],
    [
      "no rate",
      () => new SGD([["a", p()]], { learningRate: Number.NaN }),
      "optimizer: learningRate must be 0 or more, got NaN.",
    ],
    [
      "a beta of 1",
      () => new AdamW([["a", p()]], { betas: [0.9, 1] }),
      "AdamW: betas must be in [0, 1), got 0.9, 1.",
    ],
    ["eps below 0", () => new AdamW([["a", p()]], { eps: -1 }), "AdamW: eps must be 0 or more, got -1."],
    [
      "growth",
      () => new AdamW([["a", p()]], { weightDecay: -1 }),
      "AdamW: weightDecay must be 0 or more, got -1.",
    ],
    [
      "SGD's growth",
      () => new SGD([["a", p()]], { weightDecay: -1 }),
      "SGD: weightDecay must be 0 or more, got -1.",
    ],
    [
      "a momentum below 0",
      () => new SGD([["a", p()]], { momentum: -1 }),
      "SGD: momentum must be 0 or more, got -1.",
    ],
    [
      "nesterov alone",
      () => new SGD([["a", p()]], { nesterov: true }),
      "SGD: nesterov needs a momentum above 0 and no dampening, got 0 and 0.",
    ],
    ["clipping to 0", () => clipGradNorm([p()], 0), "clipGradNorm: maxNorm must be above 0, got 0."],
    ["no gradients", () => gradNorm([p()]), "gradNorm: no parameter has a gradient. Was backward called?"],
  ])("refuses %s", (_, fn, message) => {
    expect(fn).toThrow(expect.objectContaining({ message }));
  });

  test("loadState tells all problems and changes nothing", async () => {
    const optimizer = new AdamW([["a", p()]]);
    const zero = fromArray(cpu, [5, 5, 5], [3]);
    const load = (step: number): Promise<void> =>
      optimizer.loadState({
        step,
        tensors: new Map([
          ["a.exp_avg", zero],
          ["b.exp_avg", zero],
        ]),
      });
    await expect(load(3)).rejects.toThrow(
      new CheckpointError(
        "loadState",
        "3 problems\n  a.exp_avg: expected [2], got [3]\n  a.exp_avg_sq: missing\n  b.exp_avg: not in this optimiser",
      ),
    );
    await expect(load(-1)).rejects.toThrow("loadState: step must be a whole number, got -1.");
    expect(optimizer.state().step).toBe(0);
  });

  test("clipping to Infinity gives the norm and leaves the gradients", async () => {
    const a = p();
    giveGradient(a, [3, 4]);
    const { grad } = a;
    expect(await clipGradNorm([a, p()], Number.POSITIVE_INFINITY).item()).toBe(5);
    expect(a.grad).toBe(grad);
  });
});
