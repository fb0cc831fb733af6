import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { shapeAt } from "../src/config.ts";
import { fromPeftConfig } from "../src/index.ts";
import { pathMatcher } from "../src/matching.ts";
import { compilePattern } from "../src/pattern.ts";
import { goldenPath } from "./golden.ts";

interface Golden {
  readonly paths: string[];
  readonly cases: { config: unknown; matched: number[]; ranks: number[] }[];
}

const golden: Golden = JSON.parse(readFileSync(goldenPath("matching.json"), "utf8"));

test("targets, exclusions, layer numbers and rank patterns select what PEFT selects", () => {
  for (const { config, matched, ranks } of golden.cases) {
    const ours = fromPeftConfig(config);
    const matches = pathMatcher(ours);
    expect({
      config,
      matched: golden.paths.flatMap((path, i) => (matches(path) ? [i] : [])),
      ranks: golden.paths.map((path) => shapeAt(ours, path).rank),
    }).toEqual({ config, matched, ranks });
  }
});

describe("patterns", () => {
  // JavaScript's own engine reads these as Python's does.
  const sources = [
    "a(b|c)*d?",
    "(?:a|ab)(c|bcd)(d*)",
    "[a-c]+\\.\\d{1,2}",
    "(a*)*b",
    "(a|b)*?abb",
    "\\w+_proj",
    "[^.]*\\.[^.]+",
    "x{2}|y{1,}|z{0,2}",
    ".*\\bq\\b.*",
    "^a|b$",
    "(|a)b",
    "[]a]*[-b]",
    "\\(\\.\\)",
    "\\D\\S\\W",
  ];
  test.each(sources)("%s matches what JavaScript's engine matches", (source) => {
    const ours = compilePattern(source);
    const javaScript = new RegExp(`^(?:${source.replace("[]a]", "[\\]a]")})$`);
    const texts = fc.string({ unit: fc.constantFrom(..."abcdqxyz01._-() ]"), maxLength: 8 });
    fc.assert(fc.property(texts, (text) => ours(text) === javaScript.test(text)));
    if (source.includes("\\b")) return; // which fast-check cannot generate
    fc.assert(
      fc.property(fc.stringMatching(javaScript), (text) => ours(text) === javaScript.test(text)),
      { numRuns: 30 },
    );
  });

  test("a pattern that makes backtracking engines stand still is answered at once", () => {
    const matches = compilePattern("(a|a|aa)*(a+)+(.*a){10}b");
    const start = performance.now();
    expect(matches("a".repeat(300))).toBe(false);
    expect(performance.now() - start).toBeLessThan(2000);
  });

  test.each([
    ["(?=a)", 'has "(?=a" at character 0; only plain groups and (?: ) are supported'],
    ["(?P<n>a)", 'has "(?P<" at character 0; only plain groups and (?: ) are supported'],
    ["(?i)a", 'has "(?i)" at character 0; only plain groups and (?: ) are supported'],
    ["(a)\\1", "has \\1 at character 3, which is not supported"],
    ["a++", "has a possessive repeat at character 2, which is not supported"],
    ["a**", "has two repeats in a row before character 3"],
    ["*a", "has nothing to repeat at character 0"],
    ["^*", "repeats an assertion before character 2"],
    ["(a", "has a group that is not closed"],
    ["a)", "has a ) without ( at character 1"],
    ["[a", "has a [ that is not closed"],
    ["[b-a]", "has a range that does not count up at character 1"],
    ["a\\", "ends with a single backslash"],
    ["a{2,1}", "has a repeat of {2,1}, which must count up, at most to 100"],
    ["a{101}", "has a repeat of {101}, which must count up, at most to 100"],
    ["a{x}", "has a { that opens no repeat at character 1; write \\{"],
    ["((a{90}){90}){90}", "needs more than 5000 steps"],
    ["(".repeat(60), "is nested deeper than 50 groups"],
    ["a".repeat(2001), "is longer than 2000 characters"],
  ])("%s is refused", (source, message) => {
    expect(() => compilePattern(source)).toThrow(new Error(message));
  });
});
