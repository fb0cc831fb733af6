import { execFileSync } from "node:child_process";
import { cpus } from "node:os";

/** What the figures depend on beside the code. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  /** The GPU adapter's own name; undefined where only the CPU device was timed. */
  readonly adapter?: string;
  /** Short hash, with "+" where files differ from it; undefined outside of a git checkout. */
  readonly commit?: string;
}

export function machine(adapter?: string): Machine {
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    node: process.version,
    adapter,
    commit: commit(),
  };
}

function commit(): string | undefined {
  const git = (...args: string[]): string =>
    execFileSync("git", args, {
      cwd: import.meta.dirname,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
  try {
    const changed = git("status", "--porcelain", "--untracked-files=no").trim() !== "";
    return git("rev-parse", "--short=12", "HEAD").trim() + (changed ? "+" : "");
  } catch {
    return undefined;
  }
}
