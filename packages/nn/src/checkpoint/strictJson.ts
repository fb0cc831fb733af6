/**
 * A JSON parser for untrusted files. Unlike `JSON.parse` it refuses duplicate keys, the key `__proto__`, lone
 * surrogates and deep nesting; objects become Maps; numbers keep their spelling, so none is rounded unseen.
 */
export type Json = string | boolean | null | JsonNumber | readonly Json[] | ReadonlyMap<string, Json>;

export class JsonNumber {
  readonly literal: string;
  constructor(literal: string) {
    this.literal = literal;
  }
}

const maxDepth = 32;
const numberPattern = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

/**
 * @param text - one JSON value, with nothing but JSON whitespace around it
 * @param fail - makes the error from a description such as `"must be JSON, got \"}\" at character 7"`
 */
export function parseStrictJson(text: string, fail: (problem: string) => Error): Json {
  let at = 0;

  function unexpected(): Error {
    return fail(
      at < text.length
        ? `must be JSON, got ${quote(text[at])} at character ${at}`
        : "must be JSON, but it ends early",
    );
  }

  function skipSpace(): void {
    for (; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
    }
  }

  /** Steps over `character`, after whitespace, if it is next. */
  function next(character: string): boolean {
    skipSpace();
    if (text[at] !== character) return false;
    at++;
    return true;
  }

  function value(depth: number): Json {
    if (depth > maxDepth) throw fail(`must not be nested deeper than ${maxDepth}`);
    skipSpace();
    switch (text[at]) {
      case "{":
        return object(depth);
      case "[":
        return array(depth);
      case '"':
        return string();
      case "t":
        return word("true", true);
      case "f":
        return word("false", false);
      case "n":
        return word("null", null);
      default:
        return number();
    }
  }

  function object(depth: number): Json {
    const entries = new Map<string, Json>();
    at++;
    if (next("}")) return entries;
    do {
      skipSpace();
      if (text[at] !== '"') throw unexpected();
      const key = string();
      if (key === "__proto__") throw fail('must not have the key "__proto__"');
      if (entries.has(key)) throw fail(`must not have the key ${quote(key)} twice`);
      if (!next(":")) throw unexpected();
      entries.set(key, value(depth + 1));
    } while (next(","));
    if (!next("}")) throw unexpected();
    return entries;
  }

  function array(depth: number): Json {
    const items: Json[] = [];
    at++;
    if (next("]")) return items;
    do items.push(value(depth + 1));
    while (next(","));
    if (!next("]")) throw unexpected();
    return items;
  }

  function string(): string {
    const start = ++at;
    let escaped = false;
    for (; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code === 0x22) break;
      if (code < 0x20) throw unexpected();
      if (code === 0x5c) {
        escaped = true;
        at++;
      }
    }
    if (at >= text.length) {
      at = text.length;
      throw unexpected();
    }
    const raw = text.slice(start, at++);
    return escaped ? unescape(raw) : raw;
  }

  function unescape(raw: string): string {
    let plain: unknown;
    try {
      plain = JSON.parse(`"${raw}"`);
    } catch {
      // Reported below, with our own words.
    }
    if (typeof plain !== "string") throw fail(`must be JSON, got the escape sequence in ${quote(raw)}`);
    if (!isWellFormed(plain)) throw fail(`must be Unicode text, got half a surrogate pair in ${quote(raw)}`);
    return plain;
  }

  function word<T extends boolean | null>(spelling: string, meaning: T): T {
    if (!text.startsWith(spelling, at)) throw unexpected();
    at += spelling.length;
    return meaning;
  }

  function number(): JsonNumber {
    numberPattern.lastIndex = at;
    const match = numberPattern.exec(text);
    if (match === null) throw unexpected();
    at += match[0].length;
    return new JsonNumber(match[0]);
  }

  const result = value(0);
  skipSpace();
  if (at < text.length) throw unexpected();
  return result;
}

/** The value of a plain non-negative integer up to 2^53 − 1; undefined for anything else, `1.0` and `-0` included. */
export function integerOf(json: Json | undefined): number | undefined {
  if (!(json instanceof JsonNumber) || !/^(?:0|[1-9]\d{0,15})$/.test(json.literal)) return undefined;
  const value = Number(json.literal);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** True where every surrogate has its partner, so that UTF-8 can say it. */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

/** Text from a file, shortened and escaped, so that it is safe in a message. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}

/** A JSON value for a message. */
export function show(json: Json | undefined): string {
  if (json === undefined) return "nothing";
  if (json instanceof JsonNumber) return json.literal.slice(0, 80);
  if (typeof json === "string") return quote(json);
  if (json instanceof Map) return "an object";
  if (Array.isArray(json)) {
    const items = json.slice(0, 8).map((item) => (Array.isArray(item) ? "an array" : show(item)));
    return `[${items.join(", ")}${json.length > 8 ? ", ..." : ""}]`;
  }
  return String(json);
}
