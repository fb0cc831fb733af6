import {
  add,
  addInto,
  compile,
  concat,
  copyInto,
  type Device,
  fromArray,
  grad,
  layerNorm,
  matmul,
  mean,
  mul,
  mulInto,
  narrow,
  noGrad,
  openScope,
  reshape,
  rmsNorm,
  scope,
  sin,
  softmax,
  sub,
  type Tensor,
  tanh,
  transpose,
  zeros,
} from "@graft/tensor";
import { HALF_ULP, randomOf, seeds, testDevices, valuesOf } from "@graft/tensor/testing";
import fc from "fast-check";
import { expect, test } from "vitest";

/** Ops on [n, n] whose results stay small. */
const makers: Readonly<Record<string, (a: Tensor, b: Tensor) => Tensor>> = {
  add: (a, b) => add(tanh(a), tanh(b)),
  sub: (a, b) => sub(sin(a), b),
  mul: (a, b) => mul(tanh(a), sin(b)),
  sum: (a, b) => add(a, b),
  double: (a) => add(a, a),
  tanh: (a) => tanh(a),
  half: (a) => mul(a, 0.5),
  row: (a, b) => add(a, mean(b, 0)),
  rmsNorm: (a, b) => rmsNorm(add(a, b), undefined, 0.5),
  layerNorm: (a, b) => layerNorm(add(a, b), mean(b, 0), mean(a, 1), 0.5),
  softmax: (a) => softmax(a),
  matmul: (a, b) => mul(matmul(tanh(a), tanh(b)), 0.25),
  product: (a, b) => add(matmul(tanh(a), tanh(b), { transposeB: true }), b),
  transpose: (a) => transpose(a),
  reshape: (a) => reshape(reshape(a, [a.size]), a.shape),
  shift: (a, b) => concat([narrow(b, 0, 1, b.shape[0] - 1), narrow(a, 0, 0, 1)], 0),
};

/** Changes of the first. */
const changers: Readonly<Record<string, (a: Tensor, b: Tensor) => void>> = {
  copyInto: (a, b) => copyInto(a, tanh(b)),
  copyPlain: (a, b) => copyInto(a, b),
  addInto: (a, b) => addInto(a, b, 0.5),
  accumulate: (a, b) => copyInto(a, add(a, tanh(b))),
  mulInto: (a, b) => mulInto(a, tanh(b)),
  firstRow: (a, b) => copyInto(narrow(a, 0, 0, 1), narrow(b, 0, b.shape[0] - 1, 1)),
  lastRow: (a, b) => addInto(narrow(a, 0, a.shape[0] - 1, 1), narrow(tanh(b), 0, 0, 1)),
  ownRow: (a) => copyInto(narrow(a, 0, 0, 1), narrow(a, 0, a.shape[0] - 1, 1)),
  flat: (a, b) => addInto(reshape(a, [a.size]), reshape(b, [b.size])),
};

interface Program {
  readonly n: number;
  readonly seed: number;
  readonly steps: readonly { readonly op: string; readonly a: number; readonly b: number }[];
  /** Which values are returned. */
  readonly results: readonly number[];
}

const programs: fc.Arbitrary<Program> = fc.record({
  n: fc.integer({ min: 1, max: 7 }),
  seed: seeds(),
  steps: fc.array(
    fc.record({
      op: fc.constantFrom(...Object.keys(makers), ...Object.keys(changers)),
      a: fc.nat(),
      b: fc.nat(),
    }),
    { minLength: 2, maxLength: 16 },
  ),
  results: fc.array(fc.nat(), { minLength: 1, maxLength: 4 }),
});

type Mode = "eager" | "replayed" | "fused";

/**
 * What three calls return and leave in the state, which the calls share. Values are two arguments, two state tensors, a tensor
 * that each call makes, and what the steps make of them; only what is not an argument (or a view of one) may change.
 */
async function run(
  { n, seed, steps, results }: Program,
  device: Device,
  mode: Mode,
  { dtype = "f32", noise }: { dtype?: "f32" | "f64"; noise?: number } = {},
): Promise<number[][]> {
  const owner = openScope();
  try {
    const make = (lane: number) =>
      fromArray(device, valuesOf("normal", seed, n * n, lane), [n, n], { dtype });
    const state = [make(0), make(1)];
    const weight = make(2);
    // Each result a few roundings up or down: what f32 may do, done in float64.
    const random = noise === undefined ? undefined : randomOf(noise);
    const disturbed = (value: Tensor): Tensor => {
      if (random === undefined) return value;
      const factors = Array.from({ length: value.size }, () => 1 + (random() < 0.5 ? -1 : 1) * NOISE);
      return mul(value, fromArray(device, factors, value.shape, { dtype }));
    };
    weight.requiresGrad = true;
    const body = (x: Tensor, y: Tensor): Tensor[] =>
      scope(() => {
        const values = noGrad(() => [x, y, ...state, zeros(device, [n, n], { dtype })]);
        const isFixed = (value: Tensor) => value.storage === x.storage || value.storage === y.storage;
        noGrad(() => {
          for (const { op, a, b } of steps) {
            const [one, other] = [a, b].map((i) => values[i % values.length]);
            if (op in makers) values.push(disturbed(makers[op](one, other)));
            else if (!isFixed(one)) changers[op](one, disturbed(other));
          }
        });
        const product = disturbed(matmul(disturbed(values[values.length - 1]), weight));
        const loss = mean(disturbed(mul(product, product)));
        const [gradient] = grad(loss, [weight]);
        return [...results.map((i) => values[i % values.length]), gradient].map((value) => add(value, 0));
      });
    const step = compile(body, { fuse: mode === "fused" });
    const call = mode === "eager" ? body : step;
    const seen: number[][] = [];
    for (const lane of [10, 20, 30]) {
      // The last call has one tensor for both.
      const x = make(lane);
      const returned = call(x, lane === 30 ? x : make(lane + 1));
      for (const tensor of [...returned, ...state]) seen.push([...(await tensor.toArray())]);
    }
    if (mode !== "eager") expect(step.traces).toBe(1);
    step.dispose();
    return seen;
  } finally {
    owner[Symbol.dispose]();
  }
}

/** Eight roundings, as for the programs without changes in place. */
const NOISE = 8 * HALF_ULP;

/** The largest value, or difference. */
function largest(a: readonly number[], b?: readonly number[]): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b?.[i] ?? 0))), 0);
}

const { reference, cpu, gpu } = await testDevices();

test("random programs with changes in place do what they do uncompiled", { timeout: 120_000 }, () =>
  fc.assert(
    fc.asyncProperty(programs, async (program) => {
      const exact = await run(program, reference, "eager", { dtype: "f64" });
      const noisy = await Promise.all(
        [1, 2, 3].map((noise) => run(program, reference, "eager", { dtype: "f64", noise })),
      );
      for (const device of [reference, cpu, gpu]) {
        const before = device.memory().liveBytes;
        const eager = await run(program, device, "eager");
        expect(await run(program, device, "replayed"), `${device.name}, without fusion`).toEqual(eager);
        // Every fused kernel is a pipeline of its own, and a software adapter takes its time for each: some programs only.
        if (device.kind === "cpu" || program.seed % 4 === 0) {
          for (const [k, values] of (await run(program, device, "fused")).entries()) {
            const spread = Math.max(...noisy.map((draw) => largest(exact[k], draw[k])));
            const allowed = 4 * spread + 64 * HALF_ULP * largest(exact[k]) + 1e-12;
            expect(largest(exact[k], values), `tensor ${k} on ${device.name}, fused`).toBeLessThanOrEqual(
              allowed,
            );
          }
        }
        expect(device.memory().liveBytes).toBe(before);
      }
    }),
  ),
);
