import type { Seen } from "./record.ts";

/** Of the Trace Event Format: "X" is something that takes time, "M" says what a process or thread is called. Times in microseconds. */
export interface TraceEvent {
  readonly name: string;
  readonly ph: "X" | "M";
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly args: Readonly<Record<string, string | number>>;
}

export interface TraceFile {
  readonly traceEvents: readonly TraceEvent[];
  readonly displayTimeUnit: "ms";
}

/**
 * The kernels in their order on a time line. Where single times are not known, one event stands for the whole.
 * @see Trace Event Format, https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
 */
export function traceOf(device: string, timing: string, seen: readonly Seen[], wallMs: number): TraceFile {
  const events: TraceEvent[] = [
    { name: "process_name", ph: "M", pid: 1, tid: 1, args: { name: device } },
    { name: "thread_name", ph: "M", pid: 1, tid: 1, args: { name: `kernels (${timing})` } },
  ];
  for (const { op, key, bytes, flops, start, ms } of seen) {
    if (start === undefined || ms === undefined) continue;
    events.push({
      name: op,
      ph: "X",
      pid: 1,
      tid: 1,
      ts: 1000 * start,
      dur: 1000 * ms,
      args: { kernel: key, bytes, flops },
    });
  }
  if (timing === "whole")
    events.push({
      name: `${seen.length} dispatches`,
      ph: "X",
      pid: 1,
      tid: 1,
      ts: 0,
      dur: 1000 * wallMs,
      args: { dispatches: seen.length },
    });
  return { traceEvents: events, displayTimeUnit: "ms" };
}
