import { GraftError } from "./errors.ts";

/** A stream to write to: `process.stdout`, `process.stderr` or a test's own. */
export interface Sink {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

/** Where a verb says things. Results go to standard output, everything else to standard error. */
export interface Output {
  /** Whether standard output holds JSON lines and nothing else. */
  readonly json: boolean;
  /** The verb's result: one JSON line with `--json`, else the text. */
  result(value: object, text: string): void;
  /** One JSON line with `--json`, else nothing. */
  event(value: object): void;
  /** Text as it comes, without a line end; nothing with `--json`. */
  text(chunk: string): void;
  /** One line for the user on standard error. */
  notice(line: string): void;
  /** Standard error, for the progress line. */
  readonly progress: Sink;
}

/** @param json - whether `--json` was given */
export function createOutput(
  json: boolean,
  stdout: Sink = process.stdout,
  stderr: Sink = process.stderr,
): Output {
  return {
    json,
    result(value, text) {
      stdout.write(json ? jsonLine(value) : text.endsWith("\n") ? text : `${text}\n`);
    },
    event(value) {
      if (json) stdout.write(jsonLine(value));
    },
    text(chunk) {
      if (!json) stdout.write(chunk);
    },
    notice(line) {
      stderr.write(`${line}\n`);
    },
    progress: stderr,
  };
}

/**
 * One line of JSON with unrounded numbers.
 * @throws GraftError where a number is not finite, which JSON cannot hold
 */
export function jsonLine(value: object): string {
  const text = JSON.stringify(value, (key, item: unknown) => {
    if (typeof item === "number" && !Number.isFinite(item)) {
      throw new GraftError(
        `output: "${key}" must be a finite number, got ${item}. The run has diverged; a lower --learning-rate may help.`,
      );
    }
    return typeof item === "bigint" ? Number(item) : item;
  });
  return `${text}\n`;
}
