import type { Device } from "../device/device.ts";
import { type ProfileRow, type Roofline, rowsOf, type Seen, shareOf } from "./record.ts";
import { rooflineOf } from "./roofline.ts";
import { tableOf } from "./table.ts";
import { type TraceFile, traceOf } from "./trace.ts";
import { watchDevice } from "./watch.ts";

export interface ProfileOptions {
  readonly device: Device;
  /** Whether the device's most is measured (once for each device, some tenths of a second), for shares of it. Default true. */
  readonly roofline?: boolean;
}

/** How times were taken: by the GPU's timestamps or the CPU's clock for each kernel, or for the whole only. */
export type Timing = "timestamps" | "clock" | "whole";

/** What a device did while a function ran. */
export class Profile<T = unknown> {
  /** What the function returned. */
  readonly value: T;
  /** Name of the device. */
  readonly device: string;
  readonly timing: Timing;
  /** By kernel, the longest first. */
  readonly rows: readonly ProfileRow[];
  /** From the call until the device was done, in milliseconds. */
  readonly wallMs: number;
  readonly submits: number;
  readonly roofline: Roofline | undefined;
  readonly #seen: readonly Seen[];

  constructor(
    value: T,
    device: string,
    timing: Timing,
    seen: readonly Seen[],
    wall: { readonly ms: number; readonly submits: number },
    roofline: Roofline | undefined,
  ) {
    this.value = value;
    this.device = device;
    this.timing = timing;
    this.rows = rowsOf(seen);
    this.wallMs = wall.ms;
    this.submits = wall.submits;
    this.roofline = roofline;
    this.#seen = seen;
  }

  /** Dispatches on a GPU, ops on the CPU. */
  get dispatches(): number {
    return this.#seen.length;
  }

  /** Of the tensors that kernels bind: what they may read and write, each once a kernel. */
  get bytes(): number {
    return this.rows.reduce((sum, row) => sum + row.bytes, 0);
  }

  get flops(): number {
    return this.rows.reduce((sum, row) => sum + row.flops, 0);
  }

  /** Of all kernels, in milliseconds; undefined where the device does not tell. */
  get ms(): number | undefined {
    return this.rows.reduce<number | undefined>(
      (sum, { ms }) => (sum === undefined || ms === undefined ? undefined : sum + ms),
      0,
    );
  }

  /**
   * How near a row comes to what the device was seen to do, by arithmetic or by memory, whichever bounds it. Above 1 where it is better than
   * the measured matmul or, with its values in caches, than the measured copy.
   */
  share(row: ProfileRow): number | undefined {
    return this.roofline === undefined ? undefined : shareOf(row, this.roofline);
  }

  /** A table for people. */
  toString(): string {
    return tableOf(this);
  }

  /** For `JSON.stringify`, a file that Perfetto (https://ui.perfetto.dev) and chrome://tracing open. */
  toTrace(): TraceFile {
    return traceOf(this.device, this.timing, this.#seen, this.wallMs);
  }
}

/**
 * Runs `fn` and tells what the device did meanwhile: for each kernel its time, dispatches, bytes, floating-point operations and its share of
 * what the device can do. Eager ops, and replays of compiled steps.
 *
 * On a GPU each kernel gets a pass of its own between two timestamps, so that the whole takes longer than it would. Where the device has no
 * `timestamp-query`, only the whole is timed. Warm up first: pipelines are built at the first run.
 * @returns what was seen, and `value`, what `fn` returned
 */
export async function profile<T>(
  fn: () => T | Promise<T>,
  { device, roofline = true }: ProfileOptions,
): Promise<Profile<T>> {
  const best = roofline ? await rooflineOf(device) : undefined;
  const watch = await watchDevice(device);
  const { submits } = device.counters;
  const began = performance.now();
  let value: T;
  try {
    value = await fn();
  } catch (error) {
    await watch.stop().catch(() => {}); // the first error is the one to tell
    throw error;
  }
  const { timing, seen } = await watch.stop();
  const wall = { ms: performance.now() - began, submits: device.counters.submits - submits };
  return new Profile(value, device.name, timing, seen, wall, best);
}
