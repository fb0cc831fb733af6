import { commonFlags, type Flag } from "./flags.ts";
import { type Verb, verbs } from "./verbs.ts";

/** The page of `graft --help`. */
export function toolHelp(): string {
  const rows = verbs.map((verb): [string, string] => [verb.name, verb.summary]);
  return [
    "graft: fine-tune a language model on your own text.",
    "",
    "Usage: graft <verb> [flags]",
    "",
    "Verbs:",
    ...columns(rows),
    "",
    "Flags of every verb:",
    ...columns(flagRows(commonFlags)),
    "",
    "Example:",
    `  ${verbs[0].example}`,
    "",
    "graft <verb> --help lists the flags of a verb with their defaults.",
    "",
  ].join("\n");
}

/** The page of `graft <verb> --help`. */
export function verbHelp(verb: Verb): string {
  const needed = verb.required.map((name) => {
    const flag = verb.flags.find((candidate) => candidate.name === name);
    return ` --${name} ${flag === undefined ? "" : placeholder(flag)}`;
  });
  const argument = verb.argument === undefined ? "" : ` <${verb.argument}>`;
  const own = verb.flags.filter((flag) => flag.hidden !== true);
  return [
    `graft ${verb.name}: ${verb.summary}.`,
    "",
    `Usage: graft ${verb.name}${argument}${needed.join("")} [flags]`,
    "",
    ...(own.length > 0 ? ["Flags (default in brackets):", ...columns(flagRows(own, verb.required)), ""] : []),
    "Flags of every verb:",
    ...columns(flagRows(commonFlags)),
    "",
    "Example:",
    `  ${verb.example}`,
    "",
  ].join("\n");
}

function flagRows(flags: readonly Flag[], required: readonly string[] = []): [string, string][] {
  return flags.map((flag) => {
    const shown = defaultOf(flag);
    const note = required.includes(flag.name) ? " (required)" : shown === "" ? "" : ` [${shown}]`;
    return [`--${flag.name} ${placeholder(flag)}`.trimEnd(), `${flag.help}${note}`];
  });
}

function placeholder(flag: Flag): string {
  switch (flag.kind) {
    case "switch":
      return "";
    case "choice":
      return flag.choices.join("|");
    case "text":
    case "list":
      return flag.value;
    default:
      return "N";
  }
}

function defaultOf(flag: Flag): string {
  switch (flag.kind) {
    case "switch":
      return "";
    case "list":
      return flag.default.join(",");
    case "choice":
      return flag.default ?? flag.defaultHelp ?? "";
    default:
      return flag.default === undefined ? "" : String(flag.default);
  }
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
