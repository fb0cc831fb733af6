import { cpus } from "node:os";
import type { Device } from "@graft/tensor";
import { Bench } from "tinybench";

/** One thing to time. Cases of a suite are peers: they run in turn in every round, so that drift hits all alike. */
export interface Case {
  readonly name: string;
  readonly device: Device;
  /** Queues the work once. */
  readonly run: () => void;
  /** Floating-point operations of one run, where a rate says something. */
  readonly flops?: number;
  /** Cases of one group are compared with the first of it. Default: all of the suite are one group. */
  readonly group?: string;
}

export interface Suite {
  readonly name: string;
  /** Peers, to be compared with the first of their group. */
  cases(devices: readonly Device[]): Promise<readonly Case[]>;
}

export interface Result {
  readonly suite: string;
  readonly case: string;
  readonly device: string;
  /** Median over rounds, in milliseconds. */
  readonly ms: number;
  /** Interquartile range over the median. */
  readonly spread: number;
  readonly gflops?: number;
  /** Time of the group's first case over this one's, median of the rounds' ratios. */
  readonly speedup: number;
}

/** Times the cases of a suite in interleaved rounds with tinybench, awaiting the device after each run. */
export async function measure(suite: Suite, devices: readonly Device[], rounds: number): Promise<Result[]> {
  const cases = await suite.cases(devices);
  const times = cases.map((): number[] => []);
  for (let round = 0; round <= rounds; round++) {
    const bench = new Bench({ time: 60, iterations: 1, warmup: false });
    for (const { name, run, device } of cases) {
      bench.add(name, async () => {
        run();
        await finish(device);
      });
    }
    await bench.run();
    // The first round warms up: pipelines are compiled in it.
    if (round === 0) continue;
    for (const [i, { result }] of bench.tasks.entries()) {
      times[i].push("latency" in result ? result.latency.p50 : Number.NaN);
    }
  }
  return cases.map(({ name, device, flops, group }, i) => {
    const first = times[cases.findIndex((other) => other.group === group)];
    const ms = quantile(times[i], 0.5);
    return {
      suite: suite.name,
      case: name,
      device: device.name,
      ms,
      spread: (quantile(times[i], 0.75) - quantile(times[i], 0.25)) / ms,
      gflops: flops === undefined ? undefined : flops / ms / 1e6,
      speedup: quantile(
        times[i].map((time, round) => first[round] / time),
        0.5,
      ),
    };
  });
}

/** What the figures depend on beside the code. */
export function machine(): { cpu: string; cores: number; node: string } {
  return { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.version };
}

async function finish(device: Device): Promise<void> {
  if ("finish" in device && typeof device.finish === "function") await device.finish();
}

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(q * (sorted.length - 1) + 0.5)];
}
