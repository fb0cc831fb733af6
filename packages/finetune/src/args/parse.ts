import { parseArgs } from "node:util";
import { UsageError } from "../errors.ts";
import { toolHelp, verbHelp } from "./help.ts";
import { nearest } from "./nearest.ts";
import {
  benchOptions,
  type Command,
  doctorOptions,
  evalOptions,
  finetuneOptions,
  generateOptions,
  infoOptions,
  mergeOptions,
  quantizeOptions,
} from "./options.ts";
import { parseValue, type Value, Values } from "./values.ts";
import { findVerb, flagsOf, type Verb, verbs } from "./verbs.ts";

/**
 * What the words after `graft` ask for. Node's parser takes the words apart; what may stand there is said by the table
 * of flags alone.
 * @param words - `process.argv.slice(2)`
 * @throws UsageError for an unknown verb or flag, a missing or impossible value, or flags that exclude each other
 */
export function parseCommand(words: readonly string[]): Command {
  const [name, ...rest] = words;
  if (name === "--help" || name === "-h") return { verb: "help", text: toolHelp() };
  if (name === "--version") return { verb: "version" };
  const known = verbs.map((candidate) => candidate.name);
  if (name === undefined)
    throw new UsageError(`a verb was expected (${known.join(", ")}), got nothing. Try graft --help.`);
  const verb = findVerb(name);
  if (verb === undefined) {
    const remedy = name.startsWith("-")
      ? "The verb comes before its flags."
      : (nearest(name, known, "") ?? "Try graft --help.");
    throw new UsageError(
      `the verb must be one of ${known.join(", ")}, got ${JSON.stringify(name)}. ${remedy}`,
    );
  }
  return parseVerb(verb, rest);
}

function parseVerb(verb: Verb, words: string[]): Command {
  const flags = flagsOf(verb);
  const { tokens } = parseArgs({
    args: words,
    options: Object.fromEntries(
      flags.map((flag) => [flag.name, { type: flag.kind === "switch" ? "boolean" : "string" } as const]),
    ),
    allowPositionals: true,
    strict: false, // its messages say less than ours
    tokens: true,
  });
  if (
    tokens.some((token) => token.kind === "option" && (token.rawName === "--help" || token.rawName === "-h"))
  ) {
    return { verb: "help", text: verbHelp(verb) };
  }
  const given = new Map<string, Value>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    const flag = flags.find((candidate) => `--${candidate.name}` === token.rawName);
    if (flag === undefined) {
      const names = flags.filter((candidate) => candidate.hidden !== true).map((candidate) => candidate.name);
      const remedy =
        nearest(token.rawName.replace(/^-+/, ""), names, "--") ?? `See graft ${verb.name} --help.`;
      throw new UsageError(`${verb.name}: ${token.rawName} is not a flag of this verb. ${remedy}`);
    }
    if (given.has(flag.name))
      throw new UsageError(`${verb.name}: --${flag.name} must stand once, got it twice. Leave one out.`);
    given.set(flag.name, parseValue(verb.name, flag, textOf(verb, token, flag.kind === "switch")));
  }
  if (given.has("version")) return { verb: "version" };
  return build(verb, new Values(flags, given), positionals);
}

interface OptionToken {
  readonly rawName: string;
  readonly value: string | undefined;
  readonly inlineValue: boolean | undefined;
}

/** The text after a flag, checked to be there (or, after a switch, not to be there). */
function textOf(verb: Verb, token: OptionToken, isSwitch: boolean): string {
  if (isSwitch) {
    if (token.value !== undefined)
      throw new UsageError(
        `${verb.name}: ${token.rawName} takes no value, got ${JSON.stringify(token.value)}. Write ${token.rawName} alone.`,
      );
    return "";
  }
  if (token.value === undefined || (token.inlineValue !== true && token.value.startsWith("--"))) {
    const got = token.value === undefined ? "nothing" : `the flag ${token.value}`;
    throw new UsageError(
      `${verb.name}: ${token.rawName} needs a value, got ${got}. Write ${token.rawName} VALUE, or ${token.rawName}=VALUE where the value begins with dashes.`,
    );
  }
  return token.value;
}

function build(verb: Verb, values: Values, positionals: readonly string[]): Command {
  const [path, ...more] = verb.argument === undefined ? [undefined, ...positionals] : positionals;
  if (more.length > 0) {
    throw new UsageError(
      `${verb.name}: ${JSON.stringify(more[0])} is neither a flag nor the value of one. Put a value with spaces in quotes; see graft ${verb.name} --help.`,
    );
  }
  const missing = values.on("demo")
    ? []
    : verb.required.filter((name) => !values.has(name)).map((name) => `--${name}`);
  if (verb.argument !== undefined && (path === undefined || path === "")) missing.push(`a ${verb.argument}`);
  if (missing.length > 0)
    throw new UsageError(
      `${verb.name}: ${missing.join(" and ")} must be given. For example: ${verb.example}`,
    );
  switch (verb.name) {
    case "finetune":
      return finetuneOptions(values);
    case "generate":
      return generateOptions(values);
    case "eval":
      return evalOptions(values);
    case "merge":
      return mergeOptions(values);
    case "quantize":
      return quantizeOptions(values);
    case "info":
      return infoOptions(values, path ?? "");
    case "doctor":
      return doctorOptions(values);
    case "bench":
      return benchOptions(values);
  }
}
