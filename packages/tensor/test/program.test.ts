import {
  add,
  compile,
  concat,
  cos,
  type Device,
  div,
  expand,
  fromArray,
  grad,
  layerNorm,
  logSoftmax,
  logSumExp,
  matmul,
  mean,
  mul,
  narrow,
  neg,
  noGrad,
  openScope,
  pad,
  reshape,
  rmsNorm,
  scope,
  sigmoid,
  sin,
  softmax,
  softplus,
  square,
  sub,
  sum,
  type Tensor,
  tanh,
  transpose,
  tril,
} from "@graft/tensor";
import { assertWithin, HALF_ULP, randomOf, seeds, testDevices, valuesOf } from "@graft/tensor/testing";
import fc from "fast-check";
import { expect, test } from "vitest";

/** What a program is made of: smooth ops on [n, n], of which none makes values grow, and the second operand is used where it helps. */
const steps: Readonly<Record<string, (a: Tensor, b: Tensor) => Tensor>> = {
  add: (a, b) => add(a, b),
  sub: (a, b) => sub(a, b),
  mul: (a, b) => mul(tanh(a), b),
  div: (a, b) => div(a, add(square(b), 1)),
  neg: (a) => neg(a),
  sin: (a) => sin(a),
  cos: (a) => cos(a),
  tanh: (a) => tanh(a),
  sigmoid: (a) => sigmoid(a),
  softplus: (a) => softplus(a),
  softmax: (a) => softmax(a),
  logSoftmax: (a) => logSoftmax(a, 0),
  rmsNorm: (a) => rmsNorm(a, undefined, 0.5),
  layerNorm: (a) => layerNorm(a, undefined, undefined, 0.5),
  logSumExp: (a, b) => sub(b, logSumExp(a, 1, { keepDim: true })),
  row: (a, b) => add(a, mean(b, 0)),
  column: (a, b) => mul(a, sigmoid(sum(b, 1, { keepDim: true }))),
  expand: (a) => expand(mean(a, 1, { keepDim: true }), a.shape),
  matmul: (a, b) => tanh(matmul(a, b)),
  matmulNt: (a, b) => tanh(matmul(a, b, { transposeB: true })),
  matmulTn: (a, b) => tanh(matmul(a, b, { transposeA: true })),
  transpose: (a) => transpose(a),
  tril: (a) => tril(a),
  fold: (a, b) => reshape(add(reshape(a, [a.size]), reshape(b, [b.size])), a.shape),
  shift: (a, b) => concat([narrow(b, 0, 1, b.shape[0] - 1), narrow(a, 0, 0, 1)], 0),
  pad: (a) => narrow(pad(a, [[1, 0], [0, 0]]), 0, 0, a.shape[0]), // biome-ignore format: one step a line
};
const names = Object.keys(steps);

/** A program: matrices of n × n, and steps of which each takes two earlier values. */
interface Program {
  readonly n: number;
  readonly seed: number;
  readonly steps: readonly { readonly op: string; readonly a: number; readonly b: number }[];
}

const programs: fc.Arbitrary<Program> = fc.record({
  n: fc.integer({ min: 1, max: 9 }),
  seed: seeds(),
  steps: fc.array(fc.record({ op: fc.constantFrom(...names), a: fc.nat(), b: fc.nat() }), {
    minLength: 1,
    maxLength: 14,
  }),
});

const LEAVES = 3;

/** How a program is run: op by op, or as a compiled step without or with fusion. */
type Mode = "eager" | "replayed" | "fused";

/** Loss and gradients. `noise` disturbs each step's result by a few roundings, up or down: what f32 may do, done in float64. */
async function run(
  { n, seed, steps: list }: Program,
  device: Device,
  dtype: "f32" | "f64",
  { noise, mode = "eager" }: { noise?: number; mode?: Mode } = {},
): Promise<ArrayLike<number>[]> {
  const owner = openScope();
  try {
    const leaves = Array.from({ length: LEAVES }, (_, lane) =>
      fromArray(device, valuesOf("normal", seed, n * n, lane), [n, n], { dtype, requiresGrad: true }),
    );
    const random = noise === undefined ? undefined : randomOf(noise);
    const disturbed = (value: Tensor): Tensor => {
      if (random === undefined) return value;
      const factors = Array.from({ length: value.size }, () => 1 + (random() < 0.5 ? -1 : 1) * NOISE);
      return mul(
        value,
        noGrad(() => fromArray(device, factors, value.shape, { dtype })),
      );
    };
    const body = (...inputs: Tensor[]): (Tensor | undefined)[] =>
      scope(() => {
        const values = inputs.map(disturbed);
        for (const { op, a, b } of list)
          values.push(disturbed(steps[op](values[a % values.length], values[b % values.length])));
        const loss = values.slice(-4).map((value) => mean(mul(value, value))).reduce((all, part) => all.add(part)); // biome-ignore format: a sum
        return [loss.detach(), ...grad(loss, inputs, { allowUnused: true })];
      });
    const compiled = compile(body, { fuse: mode === "fused" });
    if (mode !== "eager") compiled(...leaves); // traced here, replayed below
    const [loss, ...gradients] = mode === "eager" ? body(...leaves) : compiled(...leaves);
    compiled.dispose();
    const zero = new Float64Array(n * n);
    return await Promise.all([
      loss?.toArray() ?? zero,
      ...gradients.map((dx) => dx?.toArray() ?? Promise.resolve(zero)),
    ]);
  } finally {
    owner[Symbol.dispose]();
  }
}

/** Eight roundings: a step is up to a few ops. Sums of n ≤ 9 terms add a few more. */
const NOISE = 8 * HALF_ULP;
const DRAWS = 3;

const { reference, cpu, gpu } = await testDevices();

test("random programs agree on every device, loss and gradients", { timeout: 120_000 }, () =>
  fc.assert(
    fc.asyncProperty(programs, async (program) => {
      const exact = await run(program, reference, "f64");
      const noisy = await Promise.all(
        Array.from({ length: DRAWS }, (_, draw) => run(program, reference, "f64", { noise: draw + 1 })),
      );
      for (const device of [reference, cpu, gpu]) {
        const got = await run(program, device, "f32");
        expect(await run(program, device, "f32", { mode: "replayed" }), "compiled without fusion").toEqual(
          got,
        );
        // Every fused kernel is a pipeline of its own, and a software adapter takes its time for each: some programs only.
        const isTaken = device.kind === "cpu" || program.seed % 4 === 0;
        const fused = isTaken ? await run(program, device, "f32", { mode: "fused" }) : got;
        for (const [k, want] of exact.entries()) {
          const size = largest(want);
          const spread = Math.max(...noisy.map((values) => largest(want, values[k])));
          const allowed = 4 * spread + 64 * HALF_ULP * size + 1e-12;
          for (const [how, values] of Object.entries({ eager: got, fused })) {
            assertWithin({
              label: `${k === 0 ? "the loss" : `the gradient of leaf ${k - 1}`} on ${device.name}, ${how}`,
              shape: k === 0 ? [] : [program.n, program.n],
              got: values[k],
              want,
              budget: () => allowed,
            });
          }
        }
      }
    }),
  ),
);

/** The largest value, or difference. */
function largest(a: ArrayLike<number>, b?: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i] - (b?.[i] ?? 0)));
  return most;
}
