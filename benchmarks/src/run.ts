// npm run bench -- [--suite matmul|ops|trainStep] [--rounds 7] [--json] [--cpu-only]
import { parseArgs } from "node:util";
import { type Device, openCpu } from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { machine, measure, type Suite } from "./harness.ts";
import { matmulSuite } from "./suites/matmul.ts";
import { opsSuite } from "./suites/ops.ts";
import { trainStepSuite } from "./suites/trainStep.ts";

const suites: readonly Suite[] = [matmulSuite, opsSuite, trainStepSuite];

const { values: flags } = parseArgs({
  options: {
    suite: { type: "string" },
    rounds: { type: "string", default: "7" },
    json: { type: "boolean", default: false },
    "cpu-only": { type: "boolean", default: false },
  },
});
const chosen = suites.filter(({ name }) => flags.suite === undefined || name === flags.suite);
if (chosen.length === 0) {
  console.error(
    `bench: --suite must be one of ${suites.map(({ name }) => name).join(", ")}, got "${flags.suite}".`,
  );
  process.exit(2);
}
const devices: Device[] = [openCpu()];
if (!flags["cpu-only"]) devices.push(await openWebGpu());
if (!flags.json) console.log(JSON.stringify(machine()));
for (const suite of chosen) {
  for (const result of await measure(suite, devices, Number(flags.rounds))) {
    if (flags.json) console.log(JSON.stringify({ ...result, machine: machine() }));
    else {
      const rate = result.gflops === undefined ? "" : `${result.gflops.toFixed(1)} GFLOP/s`;
      console.log(
        `${suite.name.padEnd(10)} ${result.case.padEnd(34)} ${result.ms.toFixed(3).padStart(10)} ms ±${(result.spread * 100).toFixed(0)}%  x${result.speedup.toFixed(2)}  ${rate}`,
      );
    }
  }
}
process.exit(0);
