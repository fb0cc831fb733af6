import { noGrad } from "../autograd/gradMode.ts";
import { grad } from "../autograd/tape.ts";
import { fromArray } from "../create.ts";
import { add } from "../ops/add.ts";
import { mul } from "../ops/mul.ts";
import { sum } from "../ops/sum.ts";
import { openScope, scope } from "../scope.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import type { OpCases, Sample } from "./cases.ts";
import { assertSameMemory, type Expected, expectedOf, listOf } from "./checkForward.ts";
import { assertWithin, FLOOR, HALF_ULP } from "./compare.ts";
import type { TestDevices } from "./devices.ts";
import { differenceAlong, reach } from "./differences.ts";
import { type Place, packed, separate, stored, wantsGradient } from "./materialize.ts";
import { randomOf, valuesOf } from "./values.ts";

/** Gradients of a sample, one for each input; undefined for inputs without one. */
type Gradients = readonly (ArrayLike<number> | undefined)[];

/**
 * The gradient of Σ output · dy, dy random. In float64 it is compared with central differences (smooth samples only); on
 * every device in the sample's types it is compared with the one in float64.
 */
export async function checkGradient(
  cases: OpCases,
  samples: readonly Sample[],
  devices: TestDevices,
): Promise<void> {
  const used = samples.filter((sample) => sample.inputs.some(wantsGradient));
  const { reference } = devices;
  const expected = await expectedOf(used, reference);
  const oracle = await gradientsOf(used, { device: reference, precision: "f64" }, 0, false);
  await Promise.all(
    used.map(async (sample, s) => {
      if (sample.smooth !== false)
        await compareWithDifferences(cases, sample, devices, expected[s], oracle[s]);
    }),
  );
  const scale = await scalesOf(used, devices, oracle);
  for (const device of devices.all) {
    const got = await gradientsOf(used, { device, precision: "stored" }, 0, true);
    for (const [s, sample] of used.entries()) {
      for (const [k, input] of sample.inputs.entries()) {
        if (!wantsGradient(input)) continue;
        const allowed = gradientUlps(cases) * HALF_ULP * scale[s][k] + FLOOR;
        const zero = new Float64Array(sizeOf(input.shape));
        assertWithin({
          label: `gradient of ${cases.name} by input ${k} on ${device.name}, ${sample.why}`,
          shape: input.shape,
          got: got[s][k] ?? zero,
          want: oracle[s][k] ?? zero,
          strict: device.kind === "cpu",
          budget: () => allowed,
        });
      }
    }
  }
}

/**
 * A gradient rounds the forward pass that it reads, its own steps and the sums over broadcast axes: some four times the
 * steps of the op, and a few. The scale is the largest gradient of the input, so this is an error in norm.
 */
function gradientUlps({ ulps }: OpCases): number {
  return 4 * ulps + 16;
}

/**
 * What the error of each gradient is measured by: its largest value, also for other dy, since the sum of one may cancel;
 * and how much it moves when the inputs do, since f32 rounds what lies between.
 */
async function scalesOf(
  samples: readonly Sample[],
  { reference }: TestDevices,
  oracle: readonly Gradients[],
): Promise<number[][]> {
  const place = { device: reference, precision: "f64" } as const;
  const others = [
    await gradientsOf(samples, place, 1, false),
    await gradientsOf(samples, place, UNSIGNED, false),
  ];
  const moved = await gradientsOf(samples.map(nudged), place, 0, false);
  return samples.map((sample, s) =>
    sample.inputs.map((_, k) => {
      const here = oracle[s][k];
      const there = moved[s][k];
      const [one, two] = others.map((gradients) => gradients[s][k]);
      let size = 0;
      let motion = 0;
      for (let i = 0; i < (here?.length ?? 0); i++) {
        size = Math.max(size, finite(here?.[i]), finite(one?.[i]), finite(two?.[i]));
        if (sample.smooth !== false && there !== undefined && here !== undefined)
          motion = Math.max(motion, finite(there[i] - here[i]) / NUDGE);
      }
      return size + motion;
    }),
  );
}

const NUDGE = 2 ** -18;

function nudged(sample: Sample): Sample {
  const random = randomOf(5);
  const inputs = sample.inputs.map((input) =>
    wantsGradient(input)
      ? {
          ...input,
          values: Array.from(stored(input), (v) => v * (1 + (random() < 0.5 ? -1 : 1) * NUDGE)),
        }
      : input,
  );
  return { ...sample, inputs };
}

function finite(value: number | undefined): number {
  return value !== undefined && Number.isFinite(value) ? Math.abs(value) : 0;
}

/** ⟨gradient, v⟩ against the difference along v, for two v; a third and fourth where only one input moves. */
async function compareWithDifferences(
  cases: OpCases,
  sample: Sample,
  { reference }: TestDevices,
  expected: readonly Expected[],
  gradients: Gradients,
): Promise<void> {
  const at = sample.inputs.map(stored);
  const dys = expected.map(({ shape }, k) => dyOf(k, sizeOf(shape), 0));
  const place = { device: reference, precision: "f64" } as const;
  const f = async (values: readonly Float64Array[]): Promise<number> => {
    const outputs = noGrad(() => scope(() => listOf(sample.call(...separate(sample, place, values)))));
    const arrays = await Promise.all(outputs.map((output) => output.toArray()));
    for (const output of outputs) output.dispose();
    return total(arrays.map((array, k) => (expected[k].isFloat ? dot(array, dys[k]) : 0)));
  };
  const rounding = total(
    expected.map(({ magnitude, isFloat: counts }, k) =>
      counts ? dot(magnitude, dys[k], Math.abs) * 1e-8 : 0,
    ),
  );
  const random = randomOf(11);
  for (const chosen of [undefined, ...sample.inputs.keys()]) {
    const direction = sample.inputs.map((input, k) => {
      const moves = wantsGradient(input) && (chosen === undefined || chosen === k);
      return Array.from(at[k], (value) => (moves ? reach(value) * (random() < 0.5 ? -1 : 1) : 0));
    });
    if (!direction.some((list) => list.some((v) => v !== 0))) continue;
    const numeric = await differenceAlong(f, at, direction);
    const zero = (k: number) => new Float64Array(at[k].length);
    const analytic = total(direction.map((list, k) => dot(gradients[k] ?? zero(k), list)));
    const size = total(direction.map((list, k) => dot(gradients[k] ?? zero(k), list, Math.abs)));
    const by = chosen === undefined ? "all inputs" : `input ${chosen}`;
    assertWithin({
      label: `gradient of ${cases.name} by ${by} against central differences, ${sample.why}`,
      shape: [],
      got: [analytic],
      want: [numeric],
      budget: () => 1e-6 * size + rounding + 1e-12,
    });
  }
}

function dot(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  of: (product: number) => number = (product) => product,
): number {
  let sumOfAll = 0;
  for (let i = 0; i < a.length; i++) sumOfAll += b[i] === 0 ? 0 : of(a[i] * b[i]);
  return sumOfAll;
}

function total(list: readonly number[]): number {
  return list.reduce((all, value) => all + value, 0);
}

/** The gradient of output `k`, the same on every device; another `draw` has other values, and the last no signs. */
function dyOf(k: number, size: number, draw: number): number[] {
  const random = randomOf(draw * 31 + k);
  const values = valuesOf("positive", 17 + k + 1000 * draw, size);
  return draw === UNSIGNED ? values : values.map((v) => (random() < 0.5 ? -v : v));
}

const UNSIGNED = 2;

async function gradientsOf(
  samples: readonly Sample[],
  at: Place,
  draw: number,
  views: boolean,
): Promise<Gradients[]> {
  const place = { ...at, requiresGrad: true };
  const start = at.device.memory();
  const owner = openScope();
  let result: Gradients[];
  try {
    const inputs = views ? packed(samples, place) : samples.map((sample) => separate(sample, place));
    const gradients = samples.map((sample, s) => scope(() => backwardOf(sample, inputs[s], draw)));
    result = await Promise.all(
      gradients.map((list) => Promise.all(list.map((dx) => dx?.toArray() ?? Promise.resolve(undefined)))),
    );
  } finally {
    owner[Symbol.dispose]();
  }
  assertSameMemory(at.device, start, "after the gradients were given back");
  return result;
}

function backwardOf(sample: Sample, inputs: readonly Tensor[], draw: number): (Tensor | undefined)[] {
  const outputs = listOf(sample.call(...inputs));
  const terms = outputs.flatMap((output, k) => {
    if (!output.requiresGrad) return [];
    const dtype = output.dtype === "f64" ? "f64" : "f32";
    const dy = fromArray(output.device, dyOf(k, output.size, draw), output.shape, { dtype });
    return [{ output, dy }];
  });
  if (terms.length === 0) return inputs.map(() => undefined);
  const wanted = inputs.filter((input) => input.requiresGrad);
  const found = gradientsBy(terms, wanted);
  return inputs.map((input) => found[wanted.indexOf(input)]);
}

function gradientsBy(
  terms: readonly { readonly output: Tensor; readonly dy: Tensor }[],
  wanted: readonly Tensor[],
): (Tensor | undefined)[] {
  const [first] = terms;
  if (terms.length === 1) return grad(first.output, wanted, { gradient: first.dy, allowUnused: true });
  const loss = terms.map(({ output, dy }) => sum(mul(output, dy))).reduce((a, b) => add(a, b));
  return grad(loss, wanted, { allowUnused: true });
}
