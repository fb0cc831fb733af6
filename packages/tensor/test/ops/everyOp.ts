import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import {
  checkErrors,
  checkForward,
  checkGradient,
  checkNoGradient,
  type OpCases,
  overSamples,
  type Sample,
  testDevices,
} from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";
import { validateWgsl } from "../../test-support/wgsl.ts";

const folder = fileURLToPath(new URL("../../src/ops", import.meta.url));

/** The cases that each `*.cases.ts` exports, by the path of the file below `src/ops`. */
export async function allCases(): Promise<Map<string, OpCases[]>> {
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".cases.ts"))
    .sort();
  const files = await Promise.all(
    paths.map(async (path) => {
      const module: Record<string, OpCases> = await import(pathToFileURL(join(folder, path)).href);
      return [path, Object.values(module)] as const;
    }),
  );
  return new Map(files);
}

/** How many test files share the ops, so that both workers have some. */
export const PARTS = 4;

/** A software adapter compiles for seconds where other tests want the same cores. */
const TIMEOUT = 120_000;

/** The loops over cases for one part of the ops: every PARTS-th file from `part` on. */
export async function testPart(part: number): Promise<void> {
  const files = [...(await allCases())].filter((_, i) => i % PARTS === part);
  const devices = await testDevices();
  for (const cases of files.flatMap(([, list]) => list)) {
    const over = (check: (samples: readonly Sample[]) => Promise<void>) => () => overSamples(cases, check);
    describe(cases.name, { timeout: TIMEOUT }, () => {
      test(
        "every device gives what float64 gives, from views too, and leaves nothing behind",
        over((samples) => checkForward(cases, samples, devices)),
      );
      if (cases.gradient === undefined) {
        test(
          "the gradient agrees with central differences, and on every device",
          over((samples) => checkGradient(cases, samples, devices)),
        );
      } else {
        test(
          `no gradient is given (${cases.gradient.slice("none: ".length)})`,
          over((samples) => checkNoGradient(cases, samples, devices.reference)),
        );
      }
      for (const device of [devices.reference, devices.gpu])
        test(`errors say what they should on ${device.kind}`, () => checkErrors(cases, device));
    });
  }
  test("the compiler has no remark on any WGSL module that this worker made", async () => {
    const remarks: string[] = [];
    for (const [code, op] of devices.shaders)
      for (const { type, line, text } of await validateWgsl(devices.gpu.gpu, code))
        remarks.push(`${op}, ${type} in line ${line}: ${text}\n${code.split("\n")[line - 1]}`);
    expect(remarks).toEqual([]);
  });
}
