import { arange, eye, fromBits, openCpu, scope, type Tensor, tensor } from "@graft/tensor";
import { expect, test } from "vitest";

const cpu = openCpu();

async function valuesOf(make: () => Tensor): Promise<{ shape: readonly number[]; values: number[] }> {
  using made = scope(make);
  return { shape: made.shape, values: [...(await made.toArray())] };
}

test("arange counts from start to below end", async () => {
  expect(await valuesOf(() => arange(cpu, 0, 3))).toEqual({ shape: [3], values: [0, 1, 2] });
  expect(await valuesOf(() => arange(cpu, 5, 0, -2, { dtype: "i32" }))).toEqual({
    shape: [3],
    values: [5, 3, 1],
  });
  expect(await valuesOf(() => arange(cpu, 3, 3))).toEqual({ shape: [0], values: [] });
  expect(await valuesOf(() => arange(cpu, 0, 3, -1))).toEqual({ shape: [0], values: [] });
  expect(() => arange(cpu, 0, 3, 0)).toThrow(
    "arange: step must lead from start to end, got start 0, end 3, step 0.",
  );
});

test("eye is the identity", async () => {
  expect(await valuesOf(() => eye(cpu, 2))).toEqual({ shape: [2, 2], values: [1, 0, 0, 1] });
  expect(await valuesOf(() => eye(cpu, 0))).toEqual({ shape: [0, 0], values: [] });
  expect(() => eye(cpu, 1.5)).toThrow("eye: n must be a whole number, got 1.5.");
});

test("tensor takes nested rows of equal lengths", async () => {
  expect(await valuesOf(() => tensor(cpu, [[1], [2]]))).toEqual({ shape: [2, 1], values: [1, 2] });
  expect(await valuesOf(() => tensor(cpu, [true, false], { dtype: "bool" }))).toEqual({
    shape: [2],
    values: [1, 0],
  });
  expect(() => tensor(cpu, [[1, 2], [3]])).toThrow(
    "tensor: rows must have equal lengths: the first gives shape [2, 2], another has 1 at axis 1.",
  );
  expect(() => tensor(cpu, [[1, 2], 3])).toThrow(
    "tensor: rows must have equal lengths: the first gives shape [2, 2], another is shallower.",
  );
});

test("fromBits takes as many values as the shape has", () => {
  expect(() => fromBits(cpu, Uint16Array.of(0x3c00), [2], { dtype: "f16" })).toThrow(
    "fromBits: 1 values do not fill shape [2], which has 2.",
  );
  expect(() => fromBits(cpu, Float32Array.of(1), [0.5, 2])).toThrow(
    "fromBits: sizes must be whole numbers, got [0.5, 2].",
  );
});
