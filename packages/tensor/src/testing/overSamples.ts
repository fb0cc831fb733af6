import fc from "fast-check";
import type { OpCases, Sample } from "./cases.ts";

/**
 * Runs a check over the edges of an op and over random samples, all at once, since reading back and waiting cost more
 * than running. Where that fails, samples are tried one by one, and a random one is shrunk to its smallest form.
 */
export async function overSamples(
  cases: OpCases,
  check: (samples: readonly Sample[]) => Promise<void>,
): Promise<void> {
  const random = fc.sample(cases.samples, {});
  try {
    await check([...cases.edges, ...random]);
  } catch (error) {
    for (const edge of cases.edges) await check([edge]);
    await fc.assert(fc.asyncProperty(cases.samples, (sample) => check([sample])));
    throw error;
  }
}
