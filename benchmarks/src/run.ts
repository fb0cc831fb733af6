// npm run bench -- [--suite NAME[,NAME]] [--rounds 7] [--json] [--write] [--cpu-only | --gpu-only] [--no-peers]
import { parseArgs } from "node:util";
import { type Device, openCpu } from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { measure, type Result, type Suite } from "./harness.ts";
import { machine } from "./machine.ts";
import { openPeers, type Peer } from "./peers.ts";
import { writeResults } from "./results.ts";
import { attentionSuite } from "./suites/attention.ts";
import { dispatchSuite } from "./suites/dispatch.ts";
import { generationSmollm2Suite, generationSuite } from "./suites/generation.ts";
import { gptStepSuite } from "./suites/gptStep.ts";
import { layersSuite } from "./suites/layers.ts";
import { matmulSuite } from "./suites/matmul.ts";
import { matmulPeersSuite } from "./suites/matmulPeers.ts";
import { mlpStepSuite } from "./suites/mlpStep.ts";
import { opsSuite } from "./suites/ops.ts";
import { qloraSuite } from "./suites/qlora.ts";
import { quantizedSuite } from "./suites/quantized.ts";
import { smollm2Suite } from "./suites/smollm2.ts";
import { trainStepSuite } from "./suites/trainStep.ts";

const suites: readonly Suite[] = [
  matmulSuite,
  matmulPeersSuite,
  attentionSuite,
  opsSuite,
  dispatchSuite,
  layersSuite,
  generationSuite,
  mlpStepSuite,
  gptStepSuite,
  trainStepSuite,
  quantizedSuite,
  qloraSuite,
  smollm2Suite,
  generationSmollm2Suite,
];

const { values: flags } = parseArgs({
  options: {
    suite: { type: "string" },
    rounds: { type: "string", default: "7" },
    json: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
    "cpu-only": { type: "boolean", default: false },
    "gpu-only": { type: "boolean", default: false },
    "no-peers": { type: "boolean", default: false },
  },
});

const chosen = choose(flags.suite?.split(","));
const rounds = Number(flags.rounds);
if (!(Number.isInteger(rounds) && rounds >= 1)) stop(`--rounds must be a whole number, got ${flags.rounds}.`);
const devices: Device[] = flags["gpu-only"] ? [] : [openCpu()];
if (!flags["cpu-only"]) devices.push(await openWebGpu());
const peers: Peer[] = [];
if (!flags["cpu-only"] && !flags["no-peers"])
  peers.push(
    ...(await openPeers((name) =>
      console.error(`bench: ${name} is not installed and left out. npm run bench:peers installs it.`),
    )),
  );
const where = machine(devices.find(({ kind }) => kind === "webgpu")?.name);
if (!flags.json) console.log(JSON.stringify(where));
const results: Result[] = [];
for (const suite of chosen) {
  for (const result of await measure(suite, devices, rounds, { peers })) {
    results.push(result);
    console.log(flags.json ? JSON.stringify({ ...result, machine: where }) : lineOf(result));
  }
}
if (flags.write) console.error(`bench: wrote benchmarks/results/${await writeResults(where, results)}.`);
process.exit(0);

function choose(names: readonly string[] | undefined): readonly Suite[] {
  if (names === undefined) return suites.filter(({ large }) => !large);
  return names.map((name) => {
    const suite = suites.find((one) => one.name === name);
    return (
      suite ?? stop(`--suite must be one of ${suites.map((one) => one.name).join(", ")}, got "${name}".`)
    );
  });
}

function stop(message: string): never {
  console.error(`bench: ${message}`);
  process.exit(2);
}

function lineOf(result: Result): string {
  const { median, spread, speedup, gflops, dispatches, rest, tokensPerSecond, note } = result;
  return [
    result.suite.padEnd(11),
    result.case.padEnd(36),
    `${median.toFixed(3).padStart(10)} ms ±${(spread * 100).toFixed(0)}%`,
    `x${speedup.toFixed(2)}`,
    gflops === undefined ? "" : `${gflops.toFixed(1)} GFLOP/s`,
    dispatches === undefined ? "" : `${dispatches} dispatches`,
    rest === undefined ? "" : `rest ${rest.toFixed(0)} ms`,
    tokensPerSecond === undefined ? "" : `${tokensPerSecond.toFixed(1)} tokens/s`,
    note ?? "",
  ].join("  ");
}
