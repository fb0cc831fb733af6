import type { Device } from "@graft/tensor";
import { Bench } from "tinybench";
import { GpuWatch, type GpuWork } from "./gpuWatch.ts";
import type { Peer } from "./peers.ts";

/** One thing to time. Cases of a suite run in turn in every round, so that drift hits all alike. */
export interface Case {
  readonly name: string;
  /** Where Graft runs it. Peers have none, and a `finish` of their own. */
  readonly device?: Device;
  /** Does the work once, or queues it. */
  readonly run: () => unknown;
  /** Waits until all that was queued is done. Default: the device's. */
  readonly finish?: () => Promise<void>;
  /** Floating-point operations of one run, where a rate says something. */
  readonly flops?: number;
  /** Tokens of one run, or of what is left of it where `less` is given. */
  readonly tokens?: number;
  /** Cases of one group are compared with the first of it. Default: all of the suite are one group. */
  readonly group?: string;
  /** The case of the suite whose time is a part of this one's: the rest is told as well, as backward's over forward. */
  readonly less?: string;
  /** What one run gave, for results that are reported and not timed, such as a loss. */
  readonly note?: () => string;
}

/** What a suite may use. */
export interface Rivals {
  /** Other libraries on the same adapter; those that are not installed are left out. */
  readonly peers: readonly Peer[];
}

export interface Suite {
  readonly name: string;
  /** What is timed. Values of cases that compute the same are compared here, before any time is taken. */
  cases(devices: readonly Device[], rivals: Rivals): Promise<readonly Case[]>;
  /** Run only when it is asked for by name: it takes minutes or gigabytes. */
  readonly large?: boolean;
}

export interface Result {
  readonly suite: string;
  readonly case: string;
  readonly group?: string;
  readonly device?: string;
  /** One time for each round, in milliseconds. */
  readonly ms: readonly number[];
  readonly median: number;
  /** Interquartile range over the median. */
  readonly spread: number;
  readonly gflops?: number;
  /** Of one run on a GPU device. */
  readonly dispatches?: number;
  /** Bytes of the buffers that one run touches on a GPU device. */
  readonly bytes?: number;
  /** Time of the group's first case over this one's, median of the rounds' ratios. */
  readonly speedup: number;
  /** Median over the rounds of this case's time less that of the one it names. */
  readonly rest?: number;
  readonly tokensPerSecond?: number;
  readonly note?: string;
}

/** Times the cases of a suite in interleaved rounds with tinybench, awaiting the device after each run. */
export async function measure(
  suite: Suite,
  devices: readonly Device[],
  rounds: number,
  rivals: Rivals = { peers: [] },
): Promise<Result[]> {
  const { cases, work } = await prepare(suite, devices, rivals);
  const times = cases.map((): number[] => []);
  // The first run after another library's may find cold caches; the median of three does not show it.
  const iterations = suite.large ? 1 : 3;
  for (let round = 0; round < rounds; round++) {
    const bench = new Bench({ time: 60, iterations, warmup: false, throws: true });
    // An async function by its kind: of any other tinybench finds out by a run that nobody waits for.
    for (const one of cases) bench.add(one.name, async () => runOnce(one));
    await bench.run();
    for (const [i, { result }] of bench.tasks.entries())
      times[i].push("latency" in result ? result.latency.p50 : Number.NaN);
  }
  return cases.map(({ name, device, flops, group, less, tokens, note }, i) => {
    const part = times[cases.findIndex((other) => other.name === less)];
    const first = times[cases.findIndex((other) => other.group === group)];
    const median = quantile(times[i], 0.5);
    const rest =
      part &&
      quantile(
        times[i].map((time, round) => time - part[round]),
        0.5,
      );
    return {
      suite: suite.name,
      case: name,
      group,
      device: device?.name,
      ms: times[i],
      median,
      spread: (quantile(times[i], 0.75) - quantile(times[i], 0.25)) / median,
      gflops: flops === undefined ? undefined : flops / median / 1e6,
      ...work[i],
      speedup: quantile(
        times[i].map((time, round) => first[round] / time),
        0.5,
      ),
      rest,
      tokensPerSecond: tokens === undefined ? undefined : (1000 * tokens) / (rest ?? median),
      note: note?.(),
    };
  });
}

/**
 * Makes the cases and runs each three times: pipelines are compiled, steps traced and pools filled. The last run is counted;
 * nothing stands between a library and Dawn afterwards.
 */
async function prepare(
  suite: Suite,
  devices: readonly Device[],
  rivals: Rivals,
): Promise<{ cases: readonly Case[]; work: (GpuWork | undefined)[] }> {
  using watch = await GpuWatch.open();
  const cases = await suite.cases(devices, rivals);
  const work: (GpuWork | undefined)[] = [];
  for (const one of cases) {
    for (let i = 0; i < 3; i++) {
      watch.take();
      await runOnce(one);
    }
    work.push(one.device?.kind === "cpu" ? undefined : watch.take());
  }
  return { cases, work };
}

async function runOnce({ run, finish, device }: Case): Promise<void> {
  await run();
  if (finish !== undefined) await finish();
  else if (device !== undefined && "finish" in device && typeof device.finish === "function")
    await device.finish();
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(q * (sorted.length - 1) + 0.5)];
}
