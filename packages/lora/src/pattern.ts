// Regular expressions from adapter files are untrusted: a backtracking engine can be made to run for years by a short
// one. This one keeps the set of places where a match may stand (Thompson 1968), so its time is at most
// text length × program length. What needs backtracking is refused.

export const patternLimits = { length: 2000, program: 5000, depth: 50, repeat: 100 } as const;

type Test = (character: string) => boolean;

type Syntax =
  | { readonly kind: "one"; readonly test: Test }
  | { readonly kind: "assert"; readonly holds: (text: string, at: number) => boolean }
  | { readonly kind: "sequence" | "either"; readonly parts: readonly Syntax[] }
  | { readonly kind: "repeat"; readonly part: Syntax; readonly least: number; readonly most: number };

type Instruction =
  | { readonly kind: "one"; readonly test: Test }
  | { readonly kind: "assert"; readonly holds: (text: string, at: number) => boolean }
  | { readonly kind: "split"; to: number[] }
  | { readonly kind: "done" };

/** Thrown by `compilePattern`; says what stands where, to be put into a sentence. */
export class PatternError extends Error {}

/**
 * Compiles a regular expression as Python's `re.fullmatch` reads it, for text without line breaks: literals, `.`,
 * classes, `\d \w \s \b` and their opposites, groups, `|`, `* + ? {m,n}` (lazy or not), `^` and `$`.
 *
 * @returns whether the whole of a text matches
 * @throws PatternError for what is not in that list: look-around, back-references, flags, named groups
 */
export function compilePattern(source: string): (text: string) => boolean {
  if (source.length > patternLimits.length)
    throw new PatternError(`is longer than ${patternLimits.length} characters`);
  const program: Instruction[] = [];
  emit(parse(source), program);
  program.push({ kind: "done" });
  return (text) => run(program, text);
}

function run(program: readonly Instruction[], text: string): boolean {
  const characters = [...text];
  let places = new Set<number>();
  enter(program, places, 0, text, 0);
  let at = 0;
  for (const character of characters) {
    at += character.length;
    const next = new Set<number>();
    for (const place of places) {
      const instruction = program[place];
      if (instruction.kind === "one" && instruction.test(character))
        enter(program, next, place + 1, text, at);
    }
    places = next;
  }
  return [...places].some((place) => program[place].kind === "done");
}

/** Adds `start` and all places that it leads to without reading a character. */
function enter(
  program: readonly Instruction[],
  places: Set<number>,
  start: number,
  text: string,
  at: number,
): void {
  const open = [start];
  for (let place = open.pop(); place !== undefined; place = open.pop()) {
    if (places.has(place)) continue;
    places.add(place);
    const instruction = program[place];
    if (instruction.kind === "split") open.push(...instruction.to);
    else if (instruction.kind === "assert" && instruction.holds(text, at)) open.push(place + 1);
  }
}

function emit(syntax: Syntax, program: Instruction[]): void {
  if (program.length > patternLimits.program)
    throw new PatternError(`needs more than ${patternLimits.program} steps`);
  switch (syntax.kind) {
    case "one":
    case "assert":
      program.push(syntax);
      return;
    case "sequence":
      for (const part of syntax.parts) emit(part, program);
      return;
    case "either": {
      const fork: Instruction = { kind: "split", to: [] };
      program.push(fork);
      const ends: Extract<Instruction, { kind: "split" }>[] = [];
      for (const part of syntax.parts) {
        fork.to.push(program.length);
        emit(part, program);
        const end: Instruction = { kind: "split", to: [] };
        program.push(end);
        ends.push(end);
      }
      for (const end of ends) end.to = [program.length];
      return;
    }
    case "repeat": {
      const { part, least, most } = syntax;
      for (let i = 0; i < least; i++) emit(part, program);
      if (most === Number.POSITIVE_INFINITY) {
        const fork: Instruction = { kind: "split", to: [] };
        const begin = program.length;
        program.push(fork);
        emit(part, program);
        program.push({ kind: "split", to: [begin] });
        fork.to = [begin + 1, program.length];
        return;
      }
      const forks: Extract<Instruction, { kind: "split" }>[] = [];
      for (let i = least; i < most; i++) {
        const fork: Instruction = { kind: "split", to: [program.length + 1] };
        program.push(fork);
        forks.push(fork);
        emit(part, program);
      }
      for (const fork of forks) fork.to.push(program.length);
    }
  }
}

const isDigit: Test = (c) => c >= "0" && c <= "9";
const isWord: Test = (c) => /^[\p{L}\p{N}_]$/u.test(c);
const isSpace: Test = (c) => /^\s$/.test(c);
const not =
  (test: Test): Test =>
  (c) =>
    !test(c);
const classes: ReadonlyMap<string, Test> = new Map([
  ["d", isDigit],
  ["D", not(isDigit)],
  ["w", isWord],
  ["W", not(isWord)],
  ["s", isSpace],
  ["S", not(isSpace)],
]);

function atBoundary(text: string, at: number): boolean {
  return isWord(text.charAt(at - 1)) !== isWord(text.charAt(at));
}

function parse(source: string): Syntax {
  const characters = [...source];
  let at = 0;

  function either(depth: number): Syntax {
    if (depth > patternLimits.depth)
      throw new PatternError(`is nested deeper than ${patternLimits.depth} groups`);
    const parts = [sequence(depth)];
    while (characters[at] === "|") {
      at++;
      parts.push(sequence(depth));
    }
    return parts.length === 1 ? parts[0] : { kind: "either", parts };
  }

  function sequence(depth: number): Syntax {
    const parts: Syntax[] = [];
    while (at < characters.length && characters[at] !== "|" && characters[at] !== ")")
      parts.push(repeated(depth));
    return { kind: "sequence", parts };
  }

  function repeated(depth: number): Syntax {
    const part = single(depth);
    const counts = repeat();
    if (counts === undefined) return part;
    if (part.kind === "assert") throw new PatternError(`repeats an assertion before character ${at}`);
    if (characters[at] === "?") at++;
    else if (characters[at] === "+")
      throw new PatternError(`has a possessive repeat at character ${at}, which is not supported`);
    if (repeat() !== undefined) throw new PatternError(`has two repeats in a row before character ${at}`);
    return { kind: "repeat", part, least: counts[0], most: counts[1] };
  }

  /** Reads `*`, `+`, `?` or `{m,n}`, if it is next. */
  function repeat(): readonly [number, number] | undefined {
    const next = characters[at];
    if (next === "*" || next === "+" || next === "?") {
      at++;
      return [next === "+" ? 1 : 0, next === "?" ? 1 : Number.POSITIVE_INFINITY];
    }
    if (next !== "{") return undefined;
    const counts = /^\{(\d{0,4})(,?)(\d{0,4})\}/.exec(characters.slice(at, at + 12).join(""));
    if (counts === null || (counts[1] === "" && counts[2] === ""))
      throw new PatternError(`has a { that opens no repeat at character ${at}; write \\{`);
    at += counts[0].length;
    const least = Number(counts[1]);
    const most = counts[2] === "" ? least : counts[3] === "" ? Number.POSITIVE_INFINITY : Number(counts[3]);
    if (most < least || least > patternLimits.repeat || (most > patternLimits.repeat && most < 1e9))
      throw new PatternError(
        `has a repeat of ${counts[0]}, which must count up, at most to ${patternLimits.repeat}`,
      );
    return [least, most];
  }

  function single(depth: number): Syntax {
    const character = characters[at++];
    switch (character) {
      case "(": {
        if (characters[at] === "?") {
          if (characters[at + 1] !== ":")
            throw new PatternError(
              `has ${quoteSome(characters, at - 1)} at character ${at - 1}; only plain groups and (?: ) are supported`,
            );
          at += 2;
        }
        const inner = either(depth + 1);
        if (characters[at++] !== ")") throw new PatternError("has a group that is not closed");
        return inner;
      }
      case "[":
        return { kind: "one", test: characterClass() };
      case ".":
        return { kind: "one", test: (c) => c !== "\n" };
      case "^":
        return { kind: "assert", holds: (_, place) => place === 0 };
      case "$":
        return { kind: "assert", holds: (text, place) => place === text.length };
      case "\\":
        return escape();
      case "*":
      case "+":
      case "?":
      case "{":
        throw new PatternError(`has nothing to repeat at character ${at - 1}`);
      default:
        return { kind: "one", test: (c) => c === character };
    }
  }

  function escape(): Syntax {
    const character = characters[at++];
    if (character === "b") return { kind: "assert", holds: atBoundary };
    if (character === "B") return { kind: "assert", holds: (text, place) => !atBoundary(text, place) };
    return { kind: "one", test: escaped(character) };
  }

  /** A class such as `\d`, or punctuation as itself. */
  function escaped(character: string | undefined): Test {
    const test = classes.get(character ?? "");
    if (test !== undefined) return test;
    if (character === undefined) throw new PatternError("ends with a single backslash");
    if (/^[A-Za-z0-9]$/.test(character))
      throw new PatternError(`has \\${character} at character ${at - 2}, which is not supported`);
    return (c) => c === character;
  }

  function characterClass(): Test {
    const inverted = characters[at] === "^";
    if (inverted) at++;
    const tests: Test[] = [];
    for (let first = true; first || characters[at] !== "]"; first = false) {
      if (at >= characters.length) throw new PatternError("has a [ that is not closed");
      const low = characters[at++];
      if (low === "\\") {
        const character = characters[at++];
        tests.push(character === "-" || character === "]" ? (c) => c === character : escaped(character));
        continue;
      }
      if (characters[at] === "-" && characters[at + 1] !== "]") {
        const high = characters[at + 1];
        if (high === undefined || high === "\\" || high < low)
          throw new PatternError(`has a range that does not count up at character ${at - 1}`);
        at += 2;
        tests.push((c) => c >= low && c <= high);
      } else tests.push((c) => c === low);
    }
    at++;
    const any: Test = (c) => tests.some((test) => test(c));
    return inverted ? not(any) : any;
  }

  const syntax = either(0);
  if (at < characters.length) throw new PatternError(`has a ) without ( at character ${at}`);
  return syntax;
}

function quoteSome(characters: readonly string[], at: number): string {
  return JSON.stringify(characters.slice(at, at + 4).join(""));
}
