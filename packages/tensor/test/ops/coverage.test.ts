import { expect, test } from "vitest";
import * as exported from "../../src/ops/index.ts";
import { allCases } from "./everyOp.ts";

const files = [...(await allCases())];
const named = files.flatMap(([path, list]) => list.map((cases) => ({ path, cases })));
const functions = Object.entries(exported).flatMap(([name, value]) =>
  typeof value === "function" ? [name] : [],
);

test.each(functions)("op '%s' has cases", (name) => {
  if (!named.some(({ cases }) => cases.name === name))
    throw new Error(`op '${name}' is exported but has no cases`);
});

test.each(named.map(({ path, cases }) => [cases.name, path]))(
  "cases '%s' of %s belong to an exported op",
  (name) => {
    expect(functions).toContain(name);
  },
);

test("no op has two cases", () => {
  const names = named.map(({ cases }) => cases.name);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
});

test.each(named.map(({ cases }) => [cases.name, cases] as const))("cases '%s' are complete", (_, cases) => {
  expect(cases.ulpsWhy.length).toBeGreaterThan(0);
  expect(cases.torch.length).toBeGreaterThan(0);
  expect(cases.edges.length).toBeGreaterThan(0);
  expect(cases.ulps).toBeLessThanOrEqual(4096);
});
