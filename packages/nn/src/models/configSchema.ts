import * as v from "valibot";
import { CheckpointError } from "../errors.ts";

/** Caps far above any real model, so that a hostile file cannot ask for more than memory has. */
export const size = (most: number) => v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(most));
export const positive = v.pipe(v.number(), v.finite(), v.gtValue(0), v.maxValue(1e12));

/** All problems of a `config.json` in one error. */
export function configError(name: string, found: readonly string[]): CheckpointError {
  const more = found.length > 5 ? `; and ${found.length - 5} more` : "";
  return new CheckpointError("config", `${name}: ${found.slice(0, 5).join("; ")}${more}.`);
}

/** The `model_type` of a parsed `config.json`, which must be one of `types`. */
export function checkModelType<T extends string>(json: unknown, types: readonly T[], name: string): T {
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw configError(name, ["the content must be a JSON object"]);
  const found = Reflect.get(json, "model_type");
  const type = types.find((known) => known === found);
  if (type !== undefined) return type;
  const got = typeof found === "string" ? JSON.stringify(found.slice(0, 60)) : kindOf(found);
  throw configError(name, [`model_type must be one of ${types.join(", ")}, got ${got}`]);
}

/** What `schema` makes of a `config.json`; all that does not fit it is told at once. */
export function parseConfig<S extends v.GenericSchema>(
  schema: S,
  json: unknown,
  name: string,
): v.InferOutput<S> {
  const parsed = v.safeParse(schema, json, { abortPipeEarly: true });
  if (!parsed.success) throw configError(name, parsed.issues.map(problemOf));
  return parsed.output;
}

/** Valibot's words for a kind, or for what a missing key or a check expects, in ours. */
const words: ReadonlyMap<string, string> = new Map([
  ["number", "a number"],
  ["string", "a text"],
  ["boolean", "true or false"],
  ["Object", "an object"],
  ["integer", "a whole number"],
  ["finite", "finite"],
]);

function problemOf(issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue) ?? "the content";
  const { expected, received } = issue;
  // Of a missing key the schema tells the key's name.
  if (received === "undefined") return `${path} is missing`;
  const limit = expected?.replace(/^>=/, "at least ").replace(/^<=/, "at most ").replace(/^>/, "above ");
  const wanted = words.get(issue.type) ?? words.get(expected?.match(/[A-Za-z]+/)?.[0] ?? "") ?? limit;
  return `${path} must be ${wanted}, got ${received.slice(0, 60)}`;
}

function kindOf(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : `${typeof value === "object" ? "an" : "a"} ${typeof value}`;
}
