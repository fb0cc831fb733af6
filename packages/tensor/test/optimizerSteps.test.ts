import { readFileSync } from "node:fs";
import { adamWStep, fromArray, openCpu, sgdStep, zeros } from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";

interface Run<Options> {
  readonly options: Options;
  readonly start: readonly number[];
  readonly gradients: readonly (readonly number[])[];
  readonly after: readonly (readonly number[])[];
}

interface Golden {
  readonly adamw: readonly Run<{ lr: number; betas: [number, number]; eps: number; weight_decay: number }>[];
  readonly sgd: readonly Run<{
    lr: number;
    momentum: number;
    dampening: number;
    nesterov: boolean;
    weight_decay: number;
  }>[];
}

const golden: Golden = JSON.parse(
  readFileSync(new URL("../../../tools/golden/data/optimizers.json", import.meta.url), "utf8"),
);
const { gpu } = await testDevices();

/** In float64 only the order of operations differs; f32 adds up some roundings of values around 1 in eight steps. */
describe.each([
  { device: openCpu(), dtype: "f64" as const, tolerance: 1e-14 },
  { device: openCpu(), dtype: "f32" as const, tolerance: 1e-6 },
  { device: gpu, dtype: "f32" as const, tolerance: 2e-6 },
])("on $device.name in $dtype", ({ device, dtype, tolerance }) => {
  const near = (values: ArrayLike<number>, expected: readonly number[]): void => {
    for (const [i, value] of expected.entries()) expect(Math.abs(values[i] - value)).toBeLessThan(tolerance);
  };

  test.each(golden.adamw)("adamWStep goes where torch goes with $options", async (run) => {
    const { lr, betas, eps, weight_decay } = run.options;
    const make = (values: readonly number[]) => fromArray(device, values, [5], { dtype });
    const parameter = make(run.start);
    const [first, second] = [zeros(device, [5], { dtype }), zeros(device, [5], { dtype })];
    for (const [i, gradient] of run.gradients.entries()) {
      adamWStep(parameter, make(gradient), first, second, {
        learningRate: lr,
        betas,
        eps,
        weightDecay: weight_decay,
        step: i + 1,
      });
      near(await parameter.toArray(), run.after[i]);
    }
  });

  test.each(golden.sgd)("sgdStep goes where torch goes with $options", async (run) => {
    const { lr, momentum, dampening, nesterov, weight_decay } = run.options;
    const make = (values: readonly number[]) => fromArray(device, values, [5], { dtype });
    const parameter = make(run.start);
    const velocity = momentum === 0 ? undefined : zeros(device, [5], { dtype });
    for (const [i, gradient] of run.gradients.entries()) {
      sgdStep(parameter, make(gradient), velocity, {
        learningRate: lr,
        momentum,
        dampening,
        nesterov,
        weightDecay: weight_decay,
        first: i === 0,
      });
      near(await parameter.toArray(), run.after[i]);
    }
  });
});
