/** A model file that is broken, unsafe or not supported. The message starts with the function that the user called. */
export class CheckpointError extends Error {
  override readonly name = "CheckpointError";
  constructor(who: string, message: string) {
    super(`${who}: ${message}`);
  }
}

/** "3 problems" and one a line, sorted; of more than `most` the rest is counted. */
export function listed(problems: readonly string[], most = Number.POSITIVE_INFINITY): string {
  const lines = [...problems].sort().slice(0, most);
  if (problems.length > lines.length) lines.push(`and ${problems.length - lines.length} more`);
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  return `${count}${lines.map((line) => `\n  ${line}`).join("")}`;
}
