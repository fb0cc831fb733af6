export const scheduleNames = ["constant", "linear", "cosine"] as const;
export type ScheduleName = (typeof scheduleNames)[number];

export interface ScheduleOptions {
  /** Steps of the whole run. */
  readonly steps: number;
  /** Steps over which the rate rises from 0. Default 0. */
  readonly warmupSteps?: number;
}

/**
 * Factor of the learning rate at step t, counted from 0: value for value transformers' `get_scheduler`
 * ("constant" is its constant_with_warmup).
 */
export function schedule(
  name: ScheduleName,
  { steps, warmupSteps = 0 }: ScheduleOptions,
): (step: number) => number {
  if (!scheduleNames.includes(name))
    throw new RangeError(`schedule: name must be ${scheduleNames.join(", ")}, got ${JSON.stringify(name)}.`);
  for (const [what, count] of Object.entries({ steps, warmupSteps }))
    if (!(Number.isSafeInteger(count) && count >= 0))
      throw new RangeError(`schedule: ${what} must be a whole number, got ${count}.`);
  const after: Record<ScheduleName, (step: number) => number> = {
    constant: () => 1,
    linear: (step) => Math.max(0, (steps - step) / Math.max(1, steps - warmupSteps)),
    cosine: (step) =>
      Math.max(0, 0.5 * (1 + Math.cos((Math.PI * (step - warmupSteps)) / Math.max(1, steps - warmupSteps)))),
  };
  return (step) => (step < warmupSteps ? step / Math.max(1, warmupSteps) : after[name](step));
}
