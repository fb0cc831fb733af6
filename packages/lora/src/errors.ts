/** An adapter, or a request about one, that cannot be honoured. The message starts with the function that the user called. */
export class LoraError extends Error {
  override readonly name = "LoraError";
  constructor(who: string, message: string) {
    super(`${who}: ${message}`);
  }
}

/** "3 problems", then one a line, sorted; past `most` lines only how many more there are. */
export function listed(problems: readonly string[], most = 20): string {
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  const lines = [...problems].sort().slice(0, most);
  if (problems.length > most) lines.push(`and ${problems.length - most} more`);
  return `${count}\n${lines.map((line) => `  ${line}`).join("\n")}`;
}

/** Text from a file or a caller, shortened and escaped, so that it is safe in a message. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}

/** Any value, for a message. */
export function display(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "string") return quote(value);
  if (Array.isArray(value))
    return `[${value.slice(0, 5).map(display).join(", ")}${value.length > 5 ? ", ..." : ""}]`;
  if (typeof value === "object" && value !== null) return "an object";
  return String(value);
}
