// Sums of products become single runs of a compiled step, where that changes nothing but roundings.
import {
  abs,
  add,
  clone,
  compile,
  copyInto,
  type Device,
  fromArray,
  grad,
  linear,
  matmul,
  mul,
  noGrad,
  openScope,
  packedMatmul,
  sum,
  type Tensor,
  tanh,
  zeros,
} from "@graft/tensor";
import { assertWithin, FLOOR, HALF_ULP, testDevices, valuesOf } from "@graft/tensor/testing";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { packedSample, packedVariants } from "../../src/testing/packed.ts";

const { all, gpu } = await testDevices();

type Values = readonly Tensor[];

interface Case {
  readonly step: (...inputs: Tensor[]) => Values;
  readonly shapes: readonly (readonly number[])[];
  /** Dispatches by op on a GPU, of those that matter. */
  readonly products?: number;
  readonly matmul?: number;
  readonly add?: number;
  readonly mul?: number;
}

const [T, D, KV, R] = [6, 20, 12, 4];
const low = (x: Tensor, w: Tensor, a: Tensor, b: Tensor) =>
  add(linear(x, w), linear(mul(linear(x, a), 0.5), b));

const cases: Record<string, Case> = {
  "a low-rank update": {
    step: (x, w, a, b) => [low(x, w, a, b)],
    shapes: [
      [T, D],
      [D, D],
      [R, D],
      [D, R],
    ],
    products: 2,
  },
  "with a residual before and a bias behind, of a batch": {
    step: (x, w, a, b, bias) => [add(x, add(low(x, w, a, b), bias))],
    shapes: [[2, T, D], [D, D], [R, D], [D, R], [D]],
    products: 2,
  },
  "queries, keys and values": {
    step: (x, wq, wk, wv, aq, ak, av, bq, bk, bv) => [
      tanh(low(x, wq, aq, bq)),
      tanh(low(x, wk, ak, bk)),
      tanh(low(x, wv, av, bv)),
    ],
    shapes: [
      [T, D],
      [D, D],
      [KV, D],
      [KV, D],
      [R, D],
      [R, D],
      [R, D],
      [D, R],
      [KV, R],
      [KV, R],
    ],
    products: 2,
  },
  "a product that others read too": {
    step: (x, w, r) => {
      const y = linear(x, w);
      return [add(y, r), tanh(y)];
    },
    shapes: [
      [T, D],
      [D, D],
      [T, D],
    ],
    matmul: 1,
    add: 1,
  },
  "a product that is returned": {
    step: (x, w, r) => {
      const y = linear(x, w);
      return [add(y, r), y];
    },
    shapes: [
      [T, D],
      [D, D],
      [T, D],
    ],
    matmul: 1,
    add: 1,
  },
  "sums of two scales: one is the residual of the other": {
    step: (x, w, v) => [add(mul(linear(x, w), 2), linear(x, v))],
    shapes: [
      [T, D],
      [D, D],
      [D, D],
    ],
    products: 2,
  },
  "sums of two layouts": {
    step: (x, w, v) => [add(linear(x, w), matmul(x, v))],
    shapes: [
      [T, D],
      [D, D],
      [D, D],
    ],
    matmul: 1,
    products: 1,
  },
  "a factor after the residual": {
    step: (x, w, r) => [mul(add(linear(x, w), r), 2)],
    shapes: [
      [T, D],
      [D, D],
      [T, D],
    ],
    products: 1,
    mul: 1,
  },
  "a sum that is broadcast": {
    step: (x, w, r) => [add(linear(x, w), r)],
    shapes: [
      [1, D],
      [D, D],
      [T, D],
    ],
    matmul: 1,
    add: 1,
  },
  "a column that is broadcast": {
    step: (x, w, r) => [add(linear(x, w), r)],
    shapes: [
      [T, D],
      [T, D],
      [T, 1],
    ],
    matmul: 1,
    add: 1,
  },
  "a sum with itself": {
    step: (x, w, bias) => {
      const y = add(linear(x, w), bias);
      return [add(y, y)];
    },
    shapes: [[T, D], [D, D], [D]],
    products: 1,
    add: 1,
  },
  "batches of matrices": {
    step: (x, w, r) => [add(matmul(x, w), r)],
    shapes: [
      [2, T, D],
      [2, D, T],
      [2, T, T],
    ],
    matmul: 1,
    add: 1,
  },
  "a weight that changes between product and sum": {
    step: (x, given, r) => {
      const w = clone(given);
      const y = linear(x, w);
      noGrad(() => copyInto(w, tanh(w)));
      return [add(y, r), linear(x, w)];
    },
    shapes: [
      [T, D],
      [D, D],
      [T, D],
    ],
    matmul: 2,
    add: 1,
  },
  "the second product of the first's": {
    step: (x, w, v) => [linear(linear(x, w), v)],
    shapes: [
      [T, D],
      [D, D],
      [D, D],
    ],
    matmul: 2,
  },
};

const make = (device: Device, shapes: Case["shapes"]): Tensor[] =>
  shapes.map((shape, i) =>
    fromArray(
      device,
      valuesOf(
        "normal",
        i + 1,
        shape.reduce((size, dim) => size * dim, 1),
      ),
      shape,
    ),
  );

const read = (values: Values) => Promise.all(values.map((value) => value.toArray()));

describe.each(all)("on $name", (device) => {
  test.each(Object.entries(cases))("%s gives what it gives uncompiled", async (name, { step, shapes }) => {
    using _ = openScope();
    const compiled = compile((...inputs: Tensor[]) => step(...inputs));
    const got = await read(compiled(...make(device, shapes)));
    const want = await read(step(...make(device, shapes)));
    const magnitude = await read(step(...make(device, shapes).map((x) => abs(x))));
    got.forEach((values, i) => {
      assertWithin({
        label: `${name}, output ${i}`,
        shape: [values.length],
        got: [...values],
        want: [...want[i]],
        // Both round at each of at most D + R + 6 steps; tanh takes its argument's error, and 8 of its own.
        budget: (at) => 2 * (D + R + 14) * HALF_ULP * Math.max(1, Math.abs(magnitude[i][at])) * D,
      });
    });
    compiled.dispose();
  });
});

test.each(Object.entries(cases))("%s takes as many dispatches as it should", (_, expected) => {
  using _scope = openScope();
  // What is captured may be moved to lie together; arguments may not.
  const [x, ...weights] = make(gpu, expected.shapes);
  const compiled = compile((input: Tensor) => expected.step(input, ...weights));
  const { byOp } = compiled.plan(x);
  const { products = 0, matmul: single = 0, add: sums = 0, mul: factors = 0 } = expected;
  const counts = ["products", "matmul", "add", "mul"].map((op) => byOp.get(op) ?? 0);
  expect(counts).toEqual([products, single, sums, factors]);
  compiled.dispose();
});

test("the gradients of a group take three dispatches", () => {
  using _ = openScope();
  const [x, wq, wk, wv, ...factors] = make(gpu, cases["queries, keys and values"].shapes);
  for (const factor of factors) factor.requiresGrad = true;
  const step = (...inputs: Tensor[]) => {
    const input = mul(inputs[0], 1);
    input.requiresGrad = true;
    const ys = [wq, wk, wv].map((w, j) => tanh(low(input, w, factors[j], factors[j + 3])));
    const loss = ys.reduce((total, y) => add(total, sum(y)), zeros(gpu, []));
    // Read in the step, as an optimizer does: what leaves it has a buffer of its own.
    return grad(loss, [input, ...factors]).map((value) => sum(value));
  };
  const compiled = compile((input: Tensor) => step(input));
  const { byOp } = compiled.plan(x);
  // Forward: thin factors, outputs. Backward: into the rank, to the input, to the factors.
  expect([byOp.get("products"), byOp.get("matmul")]).toEqual([5, undefined]);
  compiled.dispose();
});

test.each(["nf4", "int4", "q8_0"])("weights in %s: one dispatch for three updates", async (name) => {
  using _ = openScope();
  const format = packedVariants.find((each) => each.format.name === name);
  if (format === undefined) throw new Error(`there must be ${name}`);
  const rows = [64, 32, 32];
  const weights = rows.map((n, i) => {
    const { layout, inputs } = packedSample(format, [n, 64], i + 1);
    const parts = inputs.map(({ values, shape, dtype }) => fromArray(gpu, values, shape, { dtype }));
    return { layout, parts };
  });
  const [x, ...factors] = make(gpu, [[T, 64], ...rows.map(() => [T, R]), ...rows.map((n) => [n, R])]);
  const step = (input: Tensor) =>
    weights.map((weight, i) => tanh(add(packedMatmul(input, weight), linear(factors[i], factors[i + 3]))));
  const want = await read(step(x));
  const compiled = compile(step);
  const { byOp } = compiled.plan(x);
  expect(byOp.get("products")).toBe(1);
  expect(byOp.get("packedMatmul")).toBeUndefined();
  const got = await read(compiled(x));
  got.forEach((values, i) => {
    assertWithin({
      label: `${name}, output ${i}`,
      shape: [values.length],
      got: [...values],
      want: [...want[i]],
      // tanh takes the errors of two sums of at most 70 terms, each below 20 in magnitude, and 8 of its own.
      budget: () => 2 * (70 * 20 + 8) * HALF_ULP * 8,
    });
  });
  compiled.dispose();
});

type Act = readonly [kind: "NT" | "NN" | "TN" | "add" | "mul" | "bias", i: number, j: number];

const acts = fc.array(
  fc.tuple(fc.constantFrom("NT", "NN", "TN", "add", "add", "add", "mul", "bias"), fc.nat(20), fc.nat(20)),
  { minLength: 2, maxLength: 12 },
) as fc.Arbitrary<readonly Act[]>;

/** Square matrices from each other, with factors that keep them from growing; the last three are returned. */
function run(plan: readonly Act[], inputs: readonly Tensor[]): Tensor[] {
  const [bias, ...values] = inputs;
  for (const [kind, i, j] of plan) {
    const [a, b] = [values[i % values.length], values[j % values.length]];
    if (kind === "add") values.push(add(a, b));
    else if (kind === "mul") values.push(mul(a, 0.25));
    else if (kind === "bias") values.push(add(a, bias));
    else values.push(matmul(a, b, { transposeA: kind === "TN", transposeB: kind === "NT" }));
  }
  return values.slice(-3);
}

test.each(all)("random sums and products give what they give uncompiled, on $name", async (device) => {
  await fc.assert(
    fc.asyncProperty(acts, async (plan) => {
      using _ = openScope();
      const inputs = make(device, [[8], [8, 8], [8, 8], [8, 8]]);
      const step = compile((...given: Tensor[]) => run(plan, given));
      const got = await read(step(...inputs));
      const want = await read(run(plan, inputs));
      const magnitude = await read(
        run(
          plan,
          inputs.map((x) => abs(x)),
        ),
      );
      step.dispose();
      got.forEach((values, i) => {
        assertWithin({
          label: `value ${i} of ${plan.join("; ")}`,
          shape: [8, 8],
          got: [...values],
          want: [...want[i]],
          // Of both sides at most 8 + 2 roundings for each act, relative to the same acts on magnitudes.
          budget: (at) => 2 * 10 * plan.length * HALF_ULP * magnitude[i][at] + FLOOR,
        });
      });
    }),
    { numRuns: Math.min(60, fc.readConfigureGlobal()?.numRuns ?? 60) },
  );
});
