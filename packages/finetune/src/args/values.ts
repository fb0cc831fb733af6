import { UsageError } from "../errors.ts";
import type { Flag, Range } from "./flags.ts";

export type Value = string | number | boolean | readonly string[];

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const INTEGER = /^[+-]?\d+$/;

/**
 * The value of a flag from its text on the command line.
 * @param verb - name of the verb, for the message
 * @throws UsageError where the text is not what the flag takes
 */
export function parseValue(verb: string, flag: Flag, text: string): Value {
  switch (flag.kind) {
    case "switch":
      return true;
    case "text":
      if (text === "" && flag.empty !== true) throw wrong(verb, flag, `a ${flag.value.toLowerCase()}`, text);
      return text;
    case "list": {
      const names = text.split(",").map((name) => name.trim());
      if (names.includes("")) throw wrong(verb, flag, "names with a comma between two", text);
      if (names.length > 1 && names.includes("all-linear"))
        throw wrong(verb, flag, "either all-linear or names", text);
      return names;
    }
    case "choice":
      if (!flag.choices.includes(text)) throw wrong(verb, flag, flag.choices.join(" or "), text);
      return text;
    default: {
      const whole = flag.kind === "integer";
      const value = Number(text);
      const written = (whole ? INTEGER : NUMBER).test(text);
      if (
        !written ||
        !Number.isFinite(value) ||
        (whole && !Number.isSafeInteger(value)) ||
        !inRange(value, flag.range)
      ) {
        throw wrong(verb, flag, `${whole ? "a whole number" : "a number"}${describeRange(flag.range)}`, text);
      }
      return value;
    }
  }
}

function inRange(value: number, { min, max, above, below }: Range): boolean {
  if (min !== undefined && value < min) return false;
  if (max !== undefined && value > max) return false;
  if (above !== undefined && value <= above) return false;
  return below === undefined || value < below;
}

/** For example ` above 0 and at most 1`; empty where everything is allowed. */
function describeRange({ min, max, above, below }: Range): string {
  const parts = [];
  if (min !== undefined) parts.push(`of at least ${min}`);
  if (above !== undefined) parts.push(`above ${above}`);
  if (max !== undefined) parts.push(`at most ${max}`);
  if (below !== undefined) parts.push(`below ${below}`);
  return parts.length === 0 ? "" : ` ${parts.join(" and ")}`;
}

function wrong(verb: string, flag: Flag, expected: string, got: string): UsageError {
  return new UsageError(
    `${verb}: --${flag.name} must be ${expected}, got ${JSON.stringify(got)}. See graft ${verb} --help.`,
  );
}

/** What a command line gave, with the defaults of its flags. Asking for a flag of another kind is a fault of ours. */
export class Values {
  readonly #given: ReadonlyMap<string, Value>;
  readonly #defaults = new Map<string, Value>();

  constructor(flags: readonly Flag[], given: ReadonlyMap<string, Value>) {
    this.#given = given;
    for (const flag of flags) {
      if (flag.kind === "switch") this.#defaults.set(flag.name, false);
      else if (flag.default !== undefined) this.#defaults.set(flag.name, flag.default);
    }
  }

  /** Whether the flag stood on the command line. */
  has(name: string): boolean {
    return this.#given.has(name);
  }

  get(name: string): Value | undefined {
    return this.#given.get(name) ?? this.#defaults.get(name);
  }

  text(name: string): string | undefined {
    const value = this.get(name);
    return typeof value === "string" ? value : undefined;
  }

  needText(name: string): string {
    const value = this.get(name);
    if (typeof value !== "string") throw internal(name, "a text");
    return value;
  }

  number(name: string): number {
    const value = this.get(name);
    if (typeof value !== "number") throw internal(name, "a number");
    return value;
  }

  on(name: string): boolean {
    return this.get(name) === true;
  }

  list(name: string): readonly string[] {
    const value = this.get(name);
    if (!Array.isArray(value)) throw internal(name, "a list");
    return value;
  }
}

function internal(name: string, kind: string): Error {
  return new Error(
    `internal: --${name} has no value that is ${kind}. Please report this with the command you typed.`,
  );
}
