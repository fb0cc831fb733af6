import { GraftError } from "./errors.ts";
import { exitCodeOf, messageOf } from "./message.ts";

/** What the running command may use. */
export interface RunContext {
  /**
   * Says that Ctrl-C is handled: it then aborts `signal` and the command ends in its own time (a second Ctrl-C, a second later, ends at once).
   * Without this call Ctrl-C ends the process with exit status 130.
   */
  handleInterrupt(): AbortSignal;
}

/** Milliseconds within which another Ctrl-C is the same one: npm passes it on, and a step on the CPU device holds several back. */
const SAME_INTERRUPT = 1000;

/**
 * Runs the command to its end and ends the process: 0, the error's exit status, or 130 where it was interrupted. One message on
 * standard error for a failure, with the stack only under `GRAFT_DEBUG=1`. A reader that closes the pipe is no failure.
 */
export async function run(main: (context: RunContext) => Promise<void>): Promise<never> {
  const controller = new AbortController();
  let handled = false;
  let first = Number.POSITIVE_INFINITY;
  const onInterrupt = () => {
    const now = performance.now();
    if (!handled || now - first > SAME_INTERRUPT) process.exit(130);
    first = Math.min(first, now);
    controller.abort();
  };
  process.on("SIGINT", onInterrupt);
  for (const stream of [process.stdout, process.stderr]) stream.on("error", ignoreBrokenPipe);
  // An error outside of what is awaited, for example in a callback of the device.
  for (const event of ["uncaughtException", "unhandledRejection"]) {
    process.on(event, (error: unknown) => {
      report(error);
      process.exit(exitCodeOf(error));
    });
  }
  let code = 0;
  try {
    await main({
      handleInterrupt() {
        handled = true;
        return controller.signal;
      },
    });
    if (controller.signal.aborted) code = 130;
  } catch (error) {
    code = controller.signal.aborted && !(error instanceof GraftError) ? 130 : exitCodeOf(error);
    report(error);
  }
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  process.exit(code);
}

function report(error: unknown): void {
  process.stderr.write(`${messageOf(error)}\n`);
  if (process.env.GRAFT_DEBUG === "1" && error instanceof Error) {
    process.stderr.write(`${describeStack(error)}\n`);
  }
}

function ignoreBrokenPipe(error: Error & { code?: string }): void {
  if (error.code !== "EPIPE" && error.code !== "ERR_STREAM_DESTROYED") throw error;
}

function describeStack(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${describeStack(error.cause)}` : "";
  return `${error.stack ?? error.message}${cause}`;
}

/** Waits until everything written has left the process; a closed stream has nothing left. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  if (stream.destroyed || !stream.writable) return Promise.resolve();
  return new Promise((resolve) => {
    stream.once("close", () => resolve());
    stream.write("", () => resolve());
  });
}
