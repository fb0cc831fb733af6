// Ops that do in one dispatch what a composition does in several: the same numbers, and the number of dispatches.
import { type Device, fromArray, grad, mul, openScope, silu, swiglu, type Tensor } from "@graft/tensor";
import { testDevices, valuesOf } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";

const { reference, gpu, all } = await testDevices();

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
};

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
