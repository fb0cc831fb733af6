import { noGrad } from "../autograd/gradMode.ts";
import type { Device } from "../device/device.ts";
import { isFloat } from "../dtype.ts";
import { expand } from "../ops/expand.ts";
import { openScope, scope } from "../scope.ts";
import { type Shape, sameShape, show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import type { OpCases, Sample } from "./cases.ts";
import { assertWithin, FLOOR, HALF_ULP } from "./compare.ts";
import type { TestDevices } from "./devices.ts";
import { type Place, packed, separate } from "./materialize.ts";

/** One output of a sample: its values, and the magnitude behind each. */
export interface Expected {
  readonly shape: Shape;
  readonly isFloat: boolean;
  readonly values: ArrayLike<number>;
  readonly magnitude: ArrayLike<number>;
}

/**
 * Runs all samples on every device, with inputs that have their own storages and with inputs that are views, and compares
 * with the same ops in float64. Reads back once for all. No buffer may be left behind. Throws at the first difference.
 */
export async function checkForward(
  cases: OpCases,
  samples: readonly Sample[],
  devices: TestDevices,
): Promise<void> {
  const expected = await expectedOf(samples, devices.reference);
  for (const device of devices.all) {
    for (const inputs of ["separate", "views"] as const) {
      const got = await outputsOf(samples, { device, precision: "stored" }, inputs === "views");
      samples.forEach((sample, s) => {
        const label = `${cases.name} on ${device.name}, inputs ${inputs}, ${sample.why}`;
        compareOutputs(label, got[s], expected[s], cases.ulps, device.kind === "cpu");
      });
    }
  }
}

interface Output {
  readonly shape: Shape;
  readonly isFloat: boolean;
  readonly values: ArrayLike<number>;
}

function compareOutputs(
  label: string,
  got: readonly Output[],
  want: readonly Expected[],
  ulps: number,
  strict: boolean,
): void {
  if (got.length !== want.length)
    throw new Error(`${label}: expected ${want.length} outputs, got ${got.length}.`);
  want.forEach((expected, k) => {
    const name = want.length > 1 ? `${label}, output ${k}` : label;
    if (!sameShape(got[k].shape, expected.shape))
      throw new Error(`${name}: expected shape ${show(expected.shape)}, got ${show(got[k].shape)}.`);
    assertWithin({
      label: name,
      shape: expected.shape,
      got: got[k].values,
      want: expected.values,
      strict,
      budget: (i) => (expected.isFloat ? ulps * HALF_ULP * Math.abs(expected.magnitude[i]) + FLOOR : 0),
    });
  });
}

/** Values of the outputs of all samples on one device. */
async function outputsOf(samples: readonly Sample[], place: Place, views: boolean): Promise<Output[][]> {
  const { device } = place;
  const start = device.memory();
  const owner = openScope();
  let outputs: Output[][];
  try {
    const inputs = views ? packed(samples, place) : samples.map((sample) => separate(sample, place));
    const lists = samples.map((sample, s) => runAlone(sample, inputs[s], device));
    outputs = await Promise.all(lists.map((list) => Promise.all(list.map(readOutput))));
  } finally {
    owner[Symbol.dispose]();
  }
  assertSameMemory(device, start, "after the scope that held everything");
  return outputs;
}

/** Calls the op; what is alive afterwards must be its outputs only. */
function runAlone(sample: Sample, inputs: readonly Tensor[], device: Device): readonly Tensor[] {
  const before = device.memory().liveBuffers;
  const outputs = noGrad(() => scope(() => listOf(sample.call(...inputs))));
  const own = new Set(inputs.map((input) => input.storage));
  const made = new Set(outputs.map((output) => output.storage).filter((storage) => !own.has(storage)));
  const left = device.memory().liveBuffers - before - made.size;
  if (left !== 0) throw new Error(`${sample.why}: ${left} buffers were left behind on ${device.name}.`);
  return outputs;
}

async function readOutput(output: Tensor): Promise<Output> {
  return { shape: output.shape, isFloat: isFloat(output.dtype), values: await output.toArray() };
}

/** Throws where a device holds more (or less) than it did at `start`. */
export function assertSameMemory(
  device: Device,
  start: { liveBytes: number; liveBuffers: number },
  when: string,
): void {
  const { liveBytes, liveBuffers } = device.memory();
  if (liveBytes === start.liveBytes && liveBuffers === start.liveBuffers) return;
  throw new Error(
    `${device.name} holds ${liveBuffers} buffers of ${liveBytes} bytes ${when}, expected ${start.liveBuffers} of ${start.liveBytes}.`,
  );
}

/** What the samples give in float64 on the reference device, with the magnitudes for the budgets. */
export async function expectedOf(samples: readonly Sample[], device: Device): Promise<Expected[][]> {
  const owner = openScope();
  try {
    const place = { device, precision: "f64" } as const;
    return await Promise.all(
      samples.map(async (sample) => {
        const inputs = separate(sample, place);
        const outputs = noGrad(() => listOf(sample.call(...inputs)));
        return Promise.all(
          outputs.map(async (output, k) => {
            const values = await output.toArray();
            const magnitude = k === 0 ? await magnitudeOf(sample, inputs, output.shape) : undefined;
            return {
              shape: output.shape,
              isFloat: isFloat(output.dtype),
              values,
              magnitude: magnitude ?? values,
            };
          }),
        );
      }),
    );
  } finally {
    owner[Symbol.dispose]();
  }
}

async function magnitudeOf(
  { magnitude, why }: Sample,
  inputs: readonly Tensor[],
  shape: Shape,
): Promise<ArrayLike<number> | undefined> {
  if (magnitude === undefined) return undefined;
  try {
    return await noGrad(() => expand(magnitude(...inputs), shape)).toArray();
  } catch (error) {
    throw new Error(`${why}: the magnitude of the sample failed: ${String(error)}`, { cause: error });
  }
}

/** One or several tensors as a list. */
export function listOf(result: Tensor | readonly Tensor[]): readonly Tensor[] {
  return "isGraftTensor" in result ? [result] : result;
}
