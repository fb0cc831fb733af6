// The fused loss against its composition, and what it holds and costs. Values on every device are in its cases.
import {
  add,
  crossEntropy,
  type Device,
  fromArray,
  grad,
  linear,
  linearCrossEntropy,
  matmul,
  mul,
  openCpu,
  openScope,
  scope,
  type Tensor,
  tanh,
  zeros,
} from "@graft/tensor";
import { testDevices, valuesOf } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";

const { reference, gpu } = await testDevices();
const MIB = 2 ** 20;

function leaf(device: Device, shape: readonly number[], seed: number, dtype: "f32" | "f64"): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return fromArray(device, valuesOf("normal", seed, size), shape, { dtype, requiresGrad: true });
}

describe("in float64", () => {
  const labels = [3, -100, 0, 6, 6, 2, -100, 1, 5];
  const targets = fromArray(reference, labels, [9], { dtype: "i32" });
  const x = leaf(reference, [9, 4], 1, "f64");
  const weight = leaf(reference, [7, 4], 2, "f64");
  const a = leaf(reference, [2, 4], 3, "f64");
  const b = leaf(reference, [7, 2], 4, "f64");
  const bias = leaf(reference, [7], 5, "f64");
  const all = [x, weight, a, b, bias];

  const heads: Record<string, (rows: Tensor) => Tensor> = {
    "a matrix": (rows) => linear(rows, weight),
    "a matrix and a low-rank update": (rows) => add(linear(rows, weight), linear(linear(rows, a), b)),
    "a matrix, a bias twice": (rows) => add(add(linear(rows, weight), bias), bias),
    "a matrix and a cap that keeps its logits": (rows) => mul(tanh(linear(rows, weight)), 3),
    "what was made of its weight before": (rows) => linear(rows, product),
  };
  const product = matmul(mul(b, 2), a);

  const far = async (one: readonly (Tensor | undefined)[], two: readonly (Tensor | undefined)[]) => {
    let worst = 0;
    for (const [i, tensor] of one.entries()) {
      expect(tensor === undefined).toBe(two[i] === undefined);
      if (tensor === undefined) continue;
      const [u, v] = [await tensor.toArray(), (await two[i]?.toArray()) ?? []];
      expect(u.length).toBe(v.length);
      for (const [k, value] of u.entries()) worst = Math.max(worst, Math.abs(value - v[k]));
    }
    return worst;
  };

  describe.each(Object.entries(heads))("of %s", (name, forward) => {
    test.each([
      ["sum", 9],
      ["sum", 4],
      ["mean", 1],
      ["none", 2],
    ] as const)("reduction %s, %i rows at once, is the composition", async (reduction, atOnce) => {
      using _owner = openScope();
      const isMatrix = name === "a matrix";
      const logitBytes = atOnce * 7 * 8 * (isMatrix ? 1 : 2);
      const fused = linearCrossEntropy(x, isMatrix ? weight : { outFeatures: 7, forward }, targets, {
        reduction,
        logitBytes,
      });
      const composed = crossEntropy(forward(x), targets, { reduction });
      const options = { retainGraph: true, allowUnused: true } as const;
      const seed = reduction === "none" ? leaf(reference, [9], 8, "f64").detach() : undefined;
      const one = [fused, ...grad(fused, all, { ...options, gradient: seed })];
      const two = [composed, ...grad(composed, all, { ...options, gradient: seed })];
      // Sums of some dozen terms of size 1 to 10, in another order: a few times 2⁻⁵³ of them.
      const tolerance = 1e-14;
      expect(await far(one, two)).toBeLessThan(tolerance);
      const other = crossEntropy(mul(forward(x), 1 + 1e-12), targets, { reduction });
      const three = [other, ...grad(other, all, { ...options, gradient: seed })];
      expect(await far(one, three)).toBeGreaterThan(tolerance);
    });
  });

  test("only what wants a gradient gets one", () => {
    using _owner = openScope();
    const loss = linearCrossEntropy(x.detach(), weight, targets);
    expect(grad(loss, [weight])[0].shape).toEqual([7, 4]);
    expect(linearCrossEntropy(x.detach(), weight.detach(), targets).requiresGrad).toBe(false);
  });

  test("second derivatives are refused by name", () => {
    using _owner = openScope();
    const loss = linearCrossEntropy(x, weight, targets);
    expect(() => grad(loss, [x], { createGraph: true })).toThrow(
      "linearCrossEntropy: gradients of gradients do not pass through it. Use crossEntropy(linear(x, weight), targets) there.",
    );
  });
});

/** A CPU device that computes nothing, so that a loss of any size runs in no time. */
function hollow(): Device {
  const device = openCpu();
  device.run = () => {};
  return device;
}

describe("memory", () => {
  const live = (rows: number, wants: "loss" | "gradient", logitBytes?: number): number => {
    const device = hollow();
    using _owner = openScope();
    const x = zeros(device, [rows, 8], { requiresGrad: wants === "gradient" });
    const weight = zeros(device, [49_152, 8]);
    const targets = zeros(device, [rows], { dtype: "i32" });
    const before = device.memory().liveBytes;
    const loss = linearCrossEntropy(x, weight, targets, { reduction: "sum", logitBytes });
    if (wants === "gradient") grad(loss, [x]);
    return device.memory().peakBytes - before;
  };
  /** Of x's gradient, its pieces and scaled, and of the losses. */
  const beside = (rows: number): number => 4 * rows * (3 * 8 + 4);

  test.each(["loss", "gradient"] as const)("4,096 rows of 49,152 logits hold 96 MiB for the %s", (wants) => {
    const bytes = live(4096, wants);
    expect(bytes).toBeGreaterThanOrEqual(96 * MIB);
    expect(bytes).toBeLessThanOrEqual(96 * MIB + beside(4096));
  });

  test("pieces are of equal size, and follow logitBytes", () => {
    expect(live(520, "gradient")).toBeLessThanOrEqual(272 * 4 * 49_152 + beside(520));
    expect(live(4096, "gradient", 10 * MIB)).toBeLessThanOrEqual(10 * MIB + beside(4096));
    expect(live(4096, "gradient", 1e9)).toBeGreaterThanOrEqual(768 * MIB);
  });
});

describe("on the GPU", () => {
  const rows = 40;
  const make = () => ({
    x: leaf(gpu, [rows, 12], 1, "f32"),
    weight: leaf(gpu, [24, 12], 2, "f32"),
    targets: fromArray(
      gpu,
      Array.from({ length: rows }, (_, i) => (i % 5 === 0 ? -100 : i % 24)),
      [rows],
      { dtype: "i32" },
    ),
  });

  test.each([
    // Logits, loss and gradient of the logits, gradient of x; the sum and its factor.
    { atOnce: 40, weightToo: false, dispatches: 3 + 1 + 1 },
    // Twice that, and three losses and gradients put together.
    { atOnce: 16, weightToo: false, dispatches: 3 * 3 + 2 + 1 + 1 },
    // Also the gradient of the weight: a product a piece, two of them added to the first, and its factor.
    { atOnce: 16, weightToo: true, dispatches: 3 * 3 + 2 + 1 + 1 + 3 + 2 + 1 },
  ])("$atOnce rows at once take $dispatches dispatches", ({ atOnce, weightToo, dispatches }) => {
    using _owner = openScope();
    const { x, weight, targets } = make();
    weight.requiresGrad = weightToo;
    const start = gpu.counters.dispatches;
    const loss = linearCrossEntropy(x, weight, targets, {
      reduction: "sum",
      logitBytes: atOnce * 24 * 4,
    });
    const middle = gpu.counters.dispatches;
    const seed = fromArray(gpu, [1], []);
    grad(loss, weightToo ? [x, weight] : [x], { gradient: seed });
    const seeded = weightToo ? 2 : 1;
    expect(gpu.counters.dispatches - middle).toBe(seeded);
    expect(gpu.counters.dispatches - start).toBe(dispatches);
  });

  test("two runs give the same bits, and pieces change no more than last places", async () => {
    const run = async (atOnce: number, more = 0) => {
      using _owner = openScope();
      const { x, targets, ...rest } = make();
      const weight = mul(rest.weight, 1 + more);
      const loss = linearCrossEntropy(x, weight, targets, { logitBytes: atOnce * 24 * 4 });
      const lists = await Promise.all([loss, ...grad(loss, [x, weight])].map((tensor) => tensor.toArray()));
      return lists.flatMap((list) => Array.from(list));
    };
    const whole = await run(40);
    expect(await run(40)).toEqual(whole);
    const largest = Math.max(...whole.map(Math.abs));
    const off = (values: number[]) => Math.max(...values.map((value, i) => Math.abs(value - whole[i])));
    // Sums of 32 rows in three parts: at most 32 roundings of the largest value.
    expect(off(await run(16))).toBeLessThanOrEqual(32 * 2 ** -24 * largest);
    expect(off(await run(16, 2 ** -14))).toBeGreaterThan(32 * 2 ** -24 * largest);
  });

  test("nothing is left behind", () => {
    const before = gpu.memory().liveBuffers;
    scope(() => {
      const { x, weight, targets } = make();
      linearCrossEntropy(x, weight, targets, { logitBytes: 16 * 24 * 4 }).backward();
      for (const tensor of [x, weight]) tensor.grad?.dispose();
    });
    expect(gpu.memory().liveBuffers).toBe(before);
  });
});
