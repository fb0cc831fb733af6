// What optimisers do for all parameters at once: shared storages, groups, a scale of the gradients, steps that are replayed.
import { concat, type Device, fromArray, noGrad, reshape, scope, slice, type Tensor } from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";
import { hearLive, type Live } from "../../../tensor/src/compile/live.ts";
import {
  AdamW,
  type AdamWOptions,
  clipFactor,
  clipGradNorm,
  gradNorm,
  type Optimizer,
  Parameter,
  SGD,
} from "../../src/index.ts";
import { momentsFor } from "../../src/optim/moments.ts";

const { gpu, cpu, all } = await testDevices();

const shapes = [[4, 3], [8], [2, 2]] as const;
const valuesOf = (k: number, t: number): number[] =>
  Array.from({ length: shapes[k].reduce<number>((a, b) => a * b, 1) }, (_, i) =>
    Math.sin(1 + i + 10 * k + 100 * t),
  );

/** One parameter for each shape; their values, and maybe their gradients, are views of one storage. */
function makeAll(device: Device, side: "together" | "apart"): [string, Parameter][] {
  const separate = shapes.map((shape, k) => fromArray(device, valuesOf(k, 0), shape));
  const tensors = side === "apart" ? separate : viewsOf(separate);
  return tensors.map((tensor, k) => [`p${k}`, new Parameter(tensor)]);
}

function viewsOf(tensors: readonly Tensor[]): Tensor[] {
  return noGrad(() => {
    const flat = concat(tensors.map((tensor) => reshape(tensor, [tensor.size])));
    let at = 0;
    return tensors.map(({ shape, size }) => {
      at += size;
      return reshape(slice(flat, 0, at - size, at), shape);
    });
  });
}

function giveGradients(named: readonly [string, Parameter][], t: number, side: "together" | "apart"): void {
  const separate = named.map(([, p], k) => fromArray(p.device, valuesOf(k, t), p.shape));
  const tensors = side === "apart" ? separate : viewsOf(separate);
  named.forEach(([, p], k) => {
    p.grad?.dispose();
    p.grad = tensors[k];
  });
}

const bitsOf = async (named: readonly [string, Parameter][]): Promise<number[][]> =>
  Promise.all(named.map(async ([, p]) => Array.from(await p.toArray())));

const makers: Record<string, (named: readonly [string, Parameter][]) => Optimizer> = {
  AdamW: (named) => new AdamW(named, { learningRate: 0.1, weightDecay: 0.1 }),
  SGD: (named) => new SGD(named, { learningRate: 0.1, momentum: 0.9, dampening: 0.2, nesterov: false }),
};

describe.each(all)("on $name", (device) => {
  describe.each(Object.entries(makers))("%s", (_, make) => {
    const walk = async (side: "together" | "apart", change: (optimizer: Optimizer, t: number) => void) => {
      const named = makeAll(device, side);
      const optimizer = make(named);
      for (let t = 1; t <= 3; t++) {
        giveGradients(named, t, side);
        change(optimizer, t);
      }
      return { bits: await bitsOf(named), optimizer };
    };

    test("parameters side by side take the bits that they take apart", async () => {
      const apart = await walk("apart", (optimizer) => optimizer.step());
      const together = await walk("together", (optimizer) => optimizer.step());
      expect(together.bits).toEqual(apart.bits);
      expect((await walk("together", () => {})).bits).not.toEqual(apart.bits);
    });

    test("clipping by a scale is clipping before", async () => {
      const scaled = await walk("together", (optimizer) => {
        const norm = gradNorm(optimizer.parameters);
        optimizer.step({ gradientScale: clipFactor(norm, 0.5) });
      });
      const clipped = await walk("apart", (optimizer) => {
        clipGradNorm(optimizer.parameters, 0.5);
        optimizer.step();
      });
      expect(scaled.bits).toEqual(clipped.bits);
      const larger = await walk("together", (optimizer) => {
        optimizer.step({ gradientScale: clipFactor(gradNorm(optimizer.parameters), 0.51) });
      });
      expect(larger.bits).not.toEqual(clipped.bits);
    });

    test("a replayed step reads the rate and the number of steps of its time", async () => {
      const lives: Live[] = [];
      const replayed = await walk("apart", (optimizer, t) => {
        optimizer.learningRate = 0.1 / t;
        hearLive(
          (live) => lives.push(live),
          () => optimizer.step(),
        );
      });
      const rates = lives.flatMap(({ values }) => ("learningRate" in values ? [values.learningRate] : []));
      expect(rates).toEqual([0.1, 0.1 / 2, 0.1 / 3]);
      expect(replayed.optimizer.state().step).toBe(3);
      replayed.optimizer.learningRate = 0.5;
      // Those of the first step, as a replay of it computes them.
      const [count, options] = lives.slice(0, 2).map(({ compute }) => compute());
      expect(count).toEqual({ steps: 4 });
      expect(options).toMatchObject("betas" in options ? { learningRate: 0.5, step: 4 } : { first: false });
      expect(replayed.optimizer.state().step).toBe(4);
    });
  });

  test("a factor of 1 leaves the bits, an infinite norm limit too", async () => {
    const norm = fromArray(device, [0.25], []);
    expect(await clipFactor(norm, 1).item()).toBe(1);
    expect(await clipFactor(norm, Number.POSITIVE_INFINITY).item()).toBe(1);
    expect(await clipFactor(norm, 0.125).item()).toBeCloseTo(0.5, 4);
  });
});

describe("groups", () => {
  const after = async (options: AdamWOptions, groups?: (named: [string, Parameter][]) => Optimizer) => {
    const named = makeAll(cpu, "apart");
    const optimizer = groups?.(named) ?? new AdamW(named, options);
    for (let t = 1; t <= 2; t++) {
      giveGradients(named, t, "apart");
      optimizer.step();
    }
    return bitsOf(named);
  };

  test("each is stepped with its own options, and the optimiser's where it names none", async () => {
    const mixed = await after({}, ([a, b, c]) => {
      const optimizer = new AdamW(
        [{ parameters: [a], learningRate: 0.3 }, { parameters: [b], weightDecay: 0 }, { parameters: [c] }],
        { learningRate: 0.5, weightDecay: 0.2 },
      );
      optimizer.learningRate = 0.1;
      return optimizer;
    });
    expect(mixed[0]).toEqual((await after({ learningRate: 0.3, weightDecay: 0.2 }))[0]);
    expect(mixed[1]).toEqual((await after({ learningRate: 0.1, weightDecay: 0 }))[1]);
    expect(mixed[2]).toEqual((await after({ learningRate: 0.1, weightDecay: 0.2 }))[2]);
    expect(mixed[1]).not.toEqual((await after({ learningRate: 0.1, weightDecay: 0.2 }))[1]);
  });

  test("their rates may be set between steps, and SGD has them too", async () => {
    const named = makeAll(cpu, "apart");
    const optimizer = new SGD(
      [{ parameters: named.slice(0, 1), learningRate: 1 }, { parameters: named.slice(1) }],
      {
        learningRate: 0.5,
      },
    );
    optimizer.groups[0].learningRate = 0;
    giveGradients(named, 1, "apart");
    optimizer.step();
    const bits = await bitsOf(named);
    expect(bits[0]).toEqual(valuesOf(0, 0).map(Math.fround));
    expect(bits[1]).not.toEqual(valuesOf(1, 0).map(Math.fround));
  });

  test.each([
    [
      "one parameter in two",
      ([a]: [string, Parameter][]) => [{ parameters: [a] }, { parameters: [a] }],
      "got p0 twice.",
    ],
    [
      "growth",
      (named: [string, Parameter][]) => [{ parameters: named, weightDecay: -1 }],
      "optimizer: weightDecay must be 0 or more, got -1.",
    ],
    [
      "a rate below 0",
      (named: [string, Parameter][]) => [{ parameters: named, learningRate: -1 }],
      "optimizer: learningRate must be 0 or more, got -1.",
    ],
  ])("refuse %s", (_, groups, message) => {
    expect(() => new AdamW(groups(makeAll(cpu, "apart")))).toThrow(message);
  });

  test("a limit of 0 is refused", () => {
    expect(() => clipFactor(fromArray(cpu, [1], []), 0)).toThrow(
      "clipFactor: maxNorm must be above 0, got 0.",
    );
  });
});

describe("on the GPU", () => {
  test("clipping and a step of parameters side by side take a fixed number of dispatches", () => {
    const named = makeAll(gpu, "together");
    const optimizer = new AdamW(named);
    giveGradients(named, 1, "together");
    const count = (fn: () => void): number => {
      const before = gpu.counters.dispatches;
      scope(fn);
      return gpu.counters.dispatches - before;
    };
    expect(count(() => optimizer.step())).toBe(1);
    // Partial sums, their total, its root; the quotient's sum, quotient and minimum; the step.
    expect(
      count(() => optimizer.step({ gradientScale: clipFactor(gradNorm(optimizer.parameters), 1) })),
    ).toBe(3 + 3 + 1);
    const separate = makeAll(gpu, "apart");
    const other = new AdamW(separate);
    giveGradients(separate, 1, "apart");
    expect(count(() => other.step())).toBe(shapes.length);
  });

  test("moments lie in as few storages as can be bound", () => {
    const before = gpu.memory().liveBuffers;
    const named = makeAll(gpu, "apart");
    const optimizer = new AdamW(named);
    const storages = new Set([...optimizer.state().tensors.values()].map(({ storage }) => storage));
    expect(storages.size).toBe(2);
    optimizer.dispose();
    for (const [, p] of named) p.dispose();
    expect(gpu.memory().liveBuffers).toBe(before);

    const like = [10, 20, 30, 500, 1].map((size) => fromArray(cpu, new Float32Array(size), [size]));
    const moments = momentsFor(like, 4 * 60);
    expect(moments.map(({ offset }) => offset)).toEqual([0, 12, 32, 0, 0]);
    expect(new Set(moments.map(({ storage }) => storage)).size).toBe(3);
    expect(moments.map(({ shape }) => shape)).toEqual(like.map(({ shape }) => shape));
  });
});
