import { GraftError } from "./errors.ts";

/** A message is at least a sentence and stays under 900 characters. */
const LONGEST = 860;

/** What the operating system's error codes mean, and what to do. */
const systemErrors: Readonly<Record<string, string>> = {
  ENOENT: "does not exist. Check the path",
  EACCES: "must not be opened by this user. Check its permissions",
  EPERM: "must not be changed by this user. Check its permissions",
  EISDIR: "is a folder where a file was expected. Check the path",
  ENOTDIR: "goes through a file as if it were a folder. Check the path",
  EEXIST: "exists already. Choose another name or use --force",
  ENOSPC: "could not be written because the disk is full. Free some space",
  EROFS: "is on a file system that cannot be written. Choose another folder",
  EMFILE: "could not be opened because too many files are open. Raise the limit with ulimit -n",
};

/** The exit status for an error: its own, else 1. */
export function exitCodeOf(error: unknown): number {
  return error instanceof GraftError ? error.exitCode : 1;
}

/**
 * The one paragraph that the user reads about an error: `graft: <what is wrong, where, what to do>`. A list of
 * problems over several lines is cut to its count and the first three.
 */
export function messageOf(error: unknown): string {
  let text = onOneLine(plainMessage(error));
  if (text.length > LONGEST) text = `${text.slice(0, LONGEST)}…`;
  if (!/[.!?…]["']?$/.test(text)) text += ".";
  return `graft: ${text}`;
}

function plainMessage(error: unknown): string {
  if (!(error instanceof Error))
    return `internal: something was thrown that is no error: ${String(error)}. Please report this`;
  const { code, path } = systemFields(error);
  const meaning = code === undefined ? undefined : systemErrors[code];
  if (meaning !== undefined && path !== undefined)
    return `the path ${JSON.stringify(path)} ${meaning} (${code})`;
  if (error instanceof RangeError && /allocation|array length|string length/i.test(error.message)) {
    return `this machine has too little memory for that (${error.message}). Try a smaller --batch-size or --sequence-length, or a smaller model`;
  }
  // Faults of the program itself; our own errors and those of the libraries have classes or speak for themselves.
  if (
    error instanceof TypeError ||
    error instanceof ReferenceError ||
    (error.constructor === RangeError && !error.message.includes(": "))
  ) {
    return `internal: ${error.message}. Please report this with the output of GRAFT_DEBUG=1`;
  }
  return error.message === ""
    ? `internal: an error without words (${error.name}). Run again with GRAFT_DEBUG=1`
    : error.message;
}

function systemFields(error: Error): { code?: string; path?: string } {
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  const path = "path" in error && typeof error.path === "string" ? error.path : undefined;
  return { code, path };
}

function onOneLine(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  // Problems stand indented, what is said of all of them afterwards does not.
  const last =
    lines.length > 2 && /^\s/.test(lines[1]) && /^\S/.test(lines[lines.length - 1]) ? lines.pop() : "";
  const [first = "", ...rest] = lines.map((line) => line.trim());
  if (rest.length === 0) return first;
  const counted = Number(/^and (\d+) more$/.exec(rest[rest.length - 1])?.[1] ?? 0);
  if (counted > 0) rest.pop();
  const hidden = counted + Math.max(0, rest.length - 3);
  const joint = /[.:!?]$/.test(first) ? " " : ": ";
  const problems = rest.slice(0, 3).join("; ") + (hidden > 0 ? `; and ${hidden} more` : "");
  return `${first}${joint}${problems}${last ? `. ${last}` : ""}`;
}
