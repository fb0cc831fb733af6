import { describe, expect, test } from "vitest";
import { type ScheduleName, schedule, scheduleNames } from "../../src/index.ts";
import { readJson } from "../support/golden.ts";

const { learningRate, cases } = readJson("schedules.json") as {
  learningRate: number;
  cases: { schedule: ScheduleName; steps: number; warmupSteps: number; rates: number[] }[];
};

test("there are fixtures for every schedule", () => {
  expect([...new Set(cases.map((given) => given.schedule))].sort()).toEqual([...scheduleNames].sort());
});

test.each(cases)(
  "$schedule of $steps with $warmupSteps is transformers'",
  ({ schedule: name, steps, warmupSteps, rates }) => {
    const factor = schedule(name, { steps, warmupSteps });
    const worst = (shift: number): number =>
      Math.max(...rates.map((rate, t) => Math.abs(learningRate * factor(t + shift) - rate)));
    expect(worst(0)).toBeLessThan(1e-12 * learningRate);
    if (new Set(rates).size > 1) expect(worst(1)).toBeGreaterThan(1e-12 * learningRate);
  },
);

describe("schedule refuses", () => {
  test.each([
    [
      () => schedule("cosin" as ScheduleName, { steps: 1 }),
      'schedule: name must be constant, linear, cosine, got "cosin".',
    ],
    [() => schedule("linear", { steps: Number.NaN }), "schedule: steps must be a whole number, got NaN."],
    [
      () => schedule("linear", { steps: 5, warmupSteps: -1 }),
      "schedule: warmupSteps must be a whole number, got -1.",
    ],
  ])("%s", (fn, message) => {
    expect(fn).toThrow(message);
  });
});
