/**
 * Something is wrong with what was given or with the machine. The command prints the message as
 * `graft: <message>` and ends with exit status 1.
 */
export class GraftError extends Error {
  /** Exit status of the command. */
  readonly exitCode: number = 1;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The command line is wrong (unknown verb or flag, missing or impossible value): exit status 2. */
export class UsageError extends GraftError {
  override readonly exitCode = 2;
}

/** How many problems of a list a message shows. */
const SHOWN = 3;

/** Counts problems and keeps the first three, so that a file of a million bad rows costs nothing. */
export class ProblemList {
  count = 0;
  readonly first: string[] = [];

  add(problem: string): void {
    this.count++;
    if (this.first.length < SHOWN) this.first.push(problem);
  }

  /**
   * One paragraph: the only problem alone, or the count and the first three.
   * @param where - what the problems are in, for example the file's name in quotes
   */
  message(where: string): string {
    if (this.count === 1) return `${where}, ${this.first[0]}`;
    const more = this.count > this.first.length ? `; and ${this.count - this.first.length} more` : "";
    return `${where} has ${this.count} problems: ${this.first.map((text) => text.replace(/\.$/, "")).join("; ")}${more}.`;
  }
}

/** A text of unknown length for use inside a message: quoted, on one line, at most `length` characters. */
export function quote(text: string, length = 60): string {
  const cut = text.length > length ? `${text.slice(0, length)}…` : text;
  return JSON.stringify(cut);
}
