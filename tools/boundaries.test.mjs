import { expect, test } from "vitest";
import { findCycles, findProblems, packageProblems, relativeProblems } from "./boundaries.mjs";
import { importsOf } from "./lib/imports.mjs";

test("the sources keep the rules", () => {
  expect(findProblems()).toEqual([]);
});

test("a package may import only those below it", () => {
  expect(packageProblems("f.ts", "nn", "@graft/tensor/op")).toEqual([]);
  expect(packageProblems("f.ts", "lora", "@graft/quant")).toEqual(["f.ts: lora must not import quant"]);
  expect(packageProblems("f.ts", "quant", "@graft/lora")).toEqual(["f.ts: quant must not import lora"]);
  expect(packageProblems("f.ts", "tensor", "@graft/nn")).toEqual(["f.ts: tensor must not import nn"]);
  expect(packageProblems("f.ts", "nn", "@graft/nn")).toHaveLength(1);
});

test("a file may not import the index of its package nor leave it", () => {
  const file = "packages/nn/src/a.ts";
  expect(relativeProblems(file, "nn", "./b.ts", "packages/nn/src/b.ts")).toEqual([]);
  expect(relativeProblems(file, "nn", "./index.ts", "packages/nn/src/index.ts")).toHaveLength(1);
  expect(relativeProblems(file, "nn", "../../lora/src/b.ts", "packages/lora/src/b.ts")).toHaveLength(1);
  expect(relativeProblems(file, "nn", "./gone.ts", undefined)).toHaveLength(1);
});

test("cycles are found once, with their files", () => {
  const graph = new Map([
    ["a", ["b"]],
    ["b", ["c", "d"]],
    ["c", ["a"]],
    ["d", []],
  ]);
  expect(findCycles(graph)).toEqual([["a", "b", "c", "a"]]);
});

test("imports are read from code, not from comments", () => {
  const found = importsOf("packages/tensor/src/device/node/adapters.ts").map(({ specifier }) => specifier);
  expect(found).toEqual(["../../errors.ts", "./gpu.ts", "./hints.ts", "./swiftShader.ts"]);
});
