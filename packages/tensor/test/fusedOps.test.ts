// Ops that do in one dispatch what a composition does in several: the same numbers, and the number of dispatches.
import {
  add,
  addLayerNorm,
  addRmsNorm,
  type Device,
  fromArray,
  grad,
  layerNorm,
  mean,
  mul,
  openScope,
  rmsNorm,
  rsqrt,
  silu,
  sub,
  swiglu,
  type Tensor,
} from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { testDevices, valuesOf } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";

const { reference, gpu, all } = await testDevices();
const bare = await openWebGpu({ features: [], limits: "default" });

interface Pair {
  readonly shapes: readonly (readonly number[])[];
  readonly fused: (...inputs: Tensor[]) => Tensor;
  readonly composed: (...inputs: Tensor[]) => Tensor;
  /** One that is nearly the same, which the comparison must tell apart. */
  readonly other: (...inputs: Tensor[]) => Tensor;
  /** Dispatches of the fused op and its gradient by all inputs. */
  readonly dispatches: readonly [forward: number, backward: number];
}

const rows = [6, 20] as const;

const pairs: Record<string, Pair> = {
  swiglu: {
    shapes: [rows, rows],
    fused: swiglu,
    composed: (gate, up) => mul(silu(gate), up),
    other: (gate, up) => mul(silu(mul(gate, 1 + 1e-6)), up),
    dispatches: [1, 1],
  },
  rmsNorm: {
    shapes: [rows],
    fused: (x) => rmsNorm(x, undefined, 1e-3),
    composed: (x) => rootNorm(x, 1e-3),
    other: (x) => rootNorm(x, 1e-3 + 1e-8),
    dispatches: [1, 1],
  },
  // The gradients by weight and bias: sums of some rows each, and their sum.
  "rmsNorm with its weight": {
    shapes: [rows, [20]],
    fused: (x, weight) => rmsNorm(x, weight, 1e-3),
    composed: (x, weight) => mul(rootNorm(x, 1e-3), weight),
    other: (x, weight) => mul(rootNorm(x, 1e-3 + 1e-8), weight),
    dispatches: [1, 1 + 2],
  },
  "layerNorm with weight and bias": {
    shapes: [[300, 6], [6], [6]],
    fused: (x, weight, bias) => layerNorm(x, weight, bias, 1e-3),
    composed: (x, weight, bias) => add(mul(rootNorm(centred(x), 1e-3), weight), bias),
    other: (x, weight, bias) => add(mul(rootNorm(centred(x), 1e-3 + 1e-8), weight), bias),
    dispatches: [1, 1 + 2],
  },
  // Both outputs are read, by an add. The gradient that reaches the sum on its own is added in the norm's kernel.
  addRmsNorm: {
    shapes: [rows, rows],
    fused(x, residual) {
      const [sum, normed] = addRmsNorm(x, residual, undefined, 1e-3);
      return add(sum, normed);
    },
    composed: (x, residual) => add(add(x, residual), rootNorm(add(x, residual), 1e-3)),
    other: (x, residual) => add(add(x, residual), rootNorm(add(x, residual), 1e-3 + 1e-8)),
    dispatches: [1 + 1, 1],
  },
  addLayerNorm: {
    shapes: [rows, rows, [20], [20]],
    fused(x, residual, weight, bias) {
      const [sum, normed] = addLayerNorm(x, residual, weight, bias, 1e-3);
      return add(sum, normed);
    },
    composed: (x, residual, weight, bias) =>
      add(add(x, residual), add(mul(rootNorm(centred(add(x, residual)), 1e-3), weight), bias)),
    other: (x, residual, weight, bias) =>
      add(add(x, residual), add(mul(rootNorm(centred(add(x, residual)), 1e-3 + 1e-8), weight), bias)),
    dispatches: [1 + 1, 1 + 2],
  },
};

const centred = (x: Tensor): Tensor => sub(x, mean(x, -1, { keepDim: true }));

function rootNorm(x: Tensor, eps: number): Tensor {
  return mul(x, rsqrt(add(mean(mul(x, x), -1, { keepDim: true }), eps)));
}

function inputsOf(device: Device, shapes: Pair["shapes"], dtype: "f32" | "f64"): Tensor[] {
  return shapes.map((shape, k) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return fromArray(device, valuesOf("normal", k + 3, size), shape, { dtype, requiresGrad: true });
  });
}

const dyOf = (y: Tensor): Tensor =>
  fromArray(y.device, valuesOf("normal", 99, y.size), y.shape, { dtype: y.dtype });

async function valuesAnd(inputs: readonly Tensor[], fn: Pair["fused"]): Promise<number[]> {
  const y = fn(...inputs);
  const dxs = grad(y, inputs, { gradient: dyOf(y) });
  const lists = await Promise.all([y, ...dxs].map((tensor) => tensor.toArray()));
  return lists.flatMap((list) => Array.from(list));
}

const farthest = (one: readonly number[], two: readonly number[]): number =>
  one.reduce(
    (worst, value, i) => Math.max(worst, Math.abs(value - two[i])),
    one.length === two.length ? 0 : Infinity,
  );

describe.each(Object.entries(pairs))("%s", (_, { shapes, fused, composed, other, dispatches }) => {
  test("is its composition in float64, and so are its gradients", async () => {
    using _owner = openScope();
    const inputs = inputsOf(reference, shapes, "f64");
    const expected = await valuesAnd(inputs, composed);
    const tolerance = 1e-13 * Math.max(...expected.map(Math.abs));
    expect(farthest(await valuesAnd(inputs, fused), expected)).toBeLessThan(tolerance);
    expect(farthest(await valuesAnd(inputs, other), expected)).toBeGreaterThan(tolerance);
  });

  test.each(all)("gives the same bits twice, on $name", async (device) => {
    using _owner = openScope();
    const inputs = inputsOf(device, shapes, "f32");
    expect(await valuesAnd(inputs, fused)).toEqual(await valuesAnd(inputs, fused));
  });

  test("takes so many dispatches", () => {
    using _owner = openScope();
    const inputs = inputsOf(gpu, shapes, "f32");
    const start = gpu.counters.dispatches;
    const y = fused(...inputs);
    const middle = gpu.counters.dispatches;
    const dy = dyOf(y);
    const uploaded = gpu.counters.dispatches;
    grad(y, inputs, { gradient: dy });
    expect([middle - start, gpu.counters.dispatches - uploaded]).toEqual(dispatches);
  });
});

describe("without subgroups", () => {
  test("the device has none", () => expect(bare.info.subgroups).toBe(false));

  // The kernels then add up in shared memory, with more lanes. Lengths that do and do not make four loads at once.
  test.each([
    ["rmsNorm", 576, 1],
    ["rmsNorm", 33, 1],
    ["rmsNorm", 2048, 1],
    ["layerNorm", 576, 2],
    ["layerNorm", 33, 2],
    ["addRmsNorm", 576, 2],
    ["addRmsNorm", 33, 2],
  ] as const)("%s of %i features gives what it gives with them", async (name, features, inputs) => {
    const run = async (device: Device): Promise<number[]> => {
      using _owner = openScope();
      const wide = new Array<number[]>(inputs).fill([3, features]);
      return valuesAnd(inputsOf(device, [...wide, [features]], "f32"), (x, other, gain) => {
        if (name === "addRmsNorm") return add(...addRmsNorm(x, other, gain));
        return name === "rmsNorm" ? rmsNorm(x, other) : add(layerNorm(x, gain), other);
      });
    };
    const [one, two] = [await run(bare), await run(gpu)];
    const largest = Math.max(...two.map(Math.abs));
    // Sums of up to 2,048 terms in another order: some dozen roundings.
    expect(farthest(one, two)).toBeLessThan(64 * 2 ** -24 * largest);
  });
});
