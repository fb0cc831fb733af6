// How the examples read their command line: --steps N --device cpu|webgpu.
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** What the main function of every example takes. */
export interface ExampleOptions {
  readonly steps: number;
  readonly device: "cpu" | "webgpu";
  /** Per step. A test sets it to 0: then nothing may be learned. */
  readonly learningRate: number;
  /** Told what the program does, line by line. */
  readonly log: (line: string) => void;
}

/** Calls `main` if the file at `url` is the one that node was started with. */
export async function runAsProgram(
  url: string,
  main: (options: ExampleOptions) => Promise<unknown>,
  defaults: { readonly steps: number; readonly learningRate: number },
): Promise<void> {
  if (process.argv[1] === undefined || realpathSync(process.argv[1]) !== fileURLToPath(url)) return;
  const { values } = parseArgs({
    options: {
      steps: { type: "string", default: String(defaults.steps) },
      device: { type: "string", default: "cpu" },
    },
  });
  const steps = Number(values.steps);
  if (!Number.isInteger(steps) || steps < 1)
    throw new RangeError(`--steps must be a whole number from 1, got ${values.steps}.`);
  if (values.device !== "cpu" && values.device !== "webgpu")
    throw new RangeError(`--device must be cpu or webgpu, got ${values.device}.`);
  await main({ steps, device: values.device, learningRate: defaults.learningRate, log: console.log });
}
