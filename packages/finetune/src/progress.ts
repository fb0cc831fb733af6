import type { Sink } from "./output.ts";

/** Where a training run stands. */
export interface ProgressState {
  /** Steps done, from 1. */
  readonly step: number;
  /** Steps in all. */
  readonly steps: number;
  /** Mean loss of the step in nats per token. */
  readonly loss: number;
  readonly tokensPerSecond: number;
  /** Seconds since training began. */
  readonly seconds: number;
}

/** For example `step 12/100  loss 2.3046  1,234 tokens/s  1m 05s left`. */
export function formatProgress({ step, steps, loss, tokensPerSecond, seconds }: ProgressState): string {
  const width = String(steps).length;
  const left = step === 0 ? "" : `  ${formatDuration((seconds / step) * (steps - step))} left`;
  return `step ${String(step).padStart(width)}/${steps}  loss ${loss.toFixed(4)}  ${formatRate(tokensPerSecond)}${left}`;
}

/** Tokens per second with three digits at least, for example `1,234 tokens/s` or `0.52 tokens/s`. */
export function formatRate(tokensPerSecond: number): string {
  const digits = tokensPerSecond >= 100 ? 0 : tokensPerSecond >= 10 ? 1 : 2;
  return `${tokensPerSecond.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })} tokens/s`;
}

/** @param seconds - for example 3725 gives `1h 02m` */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (n: number) => String(n).padStart(2, "0");
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
}

/** Shows a run on standard error: one line that is rewritten on a terminal, else a plain line now and then. */
export class Progress {
  readonly #sink: Sink;
  readonly #every: number;
  #width = 0;

  /** @param every - steps between two plain lines; by default about ten lines for the run, at least every 50 steps */
  constructor(sink: Sink, steps: number, every = Math.min(50, Math.max(1, Math.ceil(steps / 10)))) {
    this.#sink = sink;
    this.#every = every;
  }

  update(state: ProgressState): void {
    const line = formatProgress(state);
    if (this.#sink.isTTY === true) {
      this.#sink.write(`\r${line.padEnd(this.#width)}`);
      this.#width = line.length;
    } else if (state.step === 1 || state.step === state.steps || state.step % this.#every === 0) {
      this.#sink.write(`${line}\n`);
    }
  }

  /** Ends the rewritten line, so that what follows stands on its own. */
  finish(): void {
    if (this.#width > 0) this.#sink.write("\n");
    this.#width = 0;
  }
}
