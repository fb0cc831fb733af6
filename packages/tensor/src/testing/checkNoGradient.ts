import type { Device } from "../device/device.ts";
import { GradError } from "../errors.ts";
import { openScope } from "../scope.ts";
import type { OpCases, Sample } from "./cases.ts";
import { listOf } from "./checkForward.ts";
import { separate } from "./materialize.ts";

/**
 * An op without a gradient must not pretend: its outputs require none, or recording it is an error that gives the reason
 * of its record.
 */
export async function checkNoGradient(
  cases: OpCases,
  samples: readonly Sample[],
  device: Device,
): Promise<void> {
  const owner = openScope();
  try {
    for (const sample of samples) {
      const inputs = separate(sample, { device, precision: "stored", requiresGrad: true });
      if (!inputs.some((input) => input.requiresGrad)) continue;
      try {
        if (listOf(sample.call(...inputs)).every((output) => !output.requiresGrad)) continue;
      } catch (error) {
        if (error instanceof GradError && error.message.includes("this op has no gradient (")) continue;
        throw error;
      }
      throw new Error(
        `${cases.name}: the cases say "${cases.gradient}", but an output requires a gradient, ${sample.why}.`,
      );
    }
  } finally {
    owner[Symbol.dispose]();
  }
}
