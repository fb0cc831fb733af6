import { Linear, Sequential } from "@graft/nn";
import { Generator, openCpu } from "@graft/tensor";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  activeAdapters,
  adaptedLayers,
  adapterConfig,
  addWeightedAdapter,
  injectLora,
  LoraError,
  type LoraLinear,
  loadAdapter,
  saveAdapter,
} from "../src/index.ts";
import { filesOpener } from "./files.ts";
import { distance } from "./golden.ts";

const device = openCpu();

function model(): Sequential {
  const options = { device, generator: new Generator(11) };
  return new Sequential(new Linear(4, 3, options), new Linear(3, 4, options));
}

function adapted({
  ranks = [2, 3],
  seed = 1,
}: {
  ranks?: readonly number[];
  seed?: number;
} = {}): Sequential {
  const made = model();
  for (const [i, rank] of ranks.entries())
    injectLora(
      made,
      // The second one is only on the second layer.
      {
        rank,
        alpha: 3 + i,
        useRslora: i === 1,
        targetModules: i === 1 ? ["1"] : ["0", "1"],
        initLoraWeights: false,
      },
      { generator: new Generator(seed + i), adapterName: `part${i}` },
    );
  return made;
}

async function deltaOf(layer: LoraLinear, name: string): Promise<number[]> {
  return [...((await layer.adapters.get(name)?.deltaWeight().toArray()) ?? new Float32Array(12))];
}

const weight = fc.constantFrom(-2, -0.5, 0, 0.25, 1, 3);

test("cat is exactly the weighted sum of the updates, at the sum of the ranks", () =>
  fc.assert(
    fc.asyncProperty(weight, weight, fc.nat(1000), async (first, second, seed) => {
      const made = adapted({ seed });
      addWeightedAdapter(made, { adapterName: "sum", weights: { part0: first, part1: second } });
      expect(activeAdapters(made)).toEqual(["part1"]);
      for (const [path, layer] of adaptedLayers(made)) {
        const [a, b] = [await deltaOf(layer, "part0"), await deltaOf(layer, "part1")];
        const expected = a.map((value, i) => first * value + second * b[i]);
        expect(distance(await deltaOf(layer, "sum"), expected)).toBeLessThan(1e-5);
        expect(layer.adapters.get("sum")?.rank).toBe(path === "0" ? 2 : 5);
        expect(layer.adapters.get("sum")?.scaling).toBe(1);
      }
      const other = model();
      await loadAdapter(other, filesOpener(await saveAdapter(made, { adapterName: "sum" })), {
        adapterName: "sum",
      });
      for (const [i, [, layer]] of adaptedLayers(other).entries())
        expect(await deltaOf(layer, "sum")).toEqual(await deltaOf(adaptedLayers(made)[i][1], "sum"));
    }),
    { numRuns: 20 },
  ));

test("linear scales one adapter exactly, negative weights too", () =>
  fc.assert(
    fc.asyncProperty(weight, fc.nat(1000), async (factor, seed) => {
      const made = adapted({ ranks: [2], seed });
      addWeightedAdapter(made, { adapterName: "scaled", weights: { part0: factor }, combination: "linear" });
      for (const [, layer] of adaptedLayers(made)) {
        const expected = (await deltaOf(layer, "part0")).map((value) => factor * value);
        expect(distance(await deltaOf(layer, "scaled"), expected)).toBeLessThan(1e-5);
      }
    }),
    { numRuns: 20 },
  ));

test("linear sums A's and B's separately, as PEFT: cross terms and all", async () => {
  const made = model();
  for (const name of ["a", "b"])
    injectLora(
      made,
      { rank: 2, alpha: 2, targetModules: ["0"], initLoraWeights: false },
      { generator: new Generator(name.length + name.charCodeAt(0)), adapterName: name },
    );
  addWeightedAdapter(made, { adapterName: "sum", weights: { a: 4, b: -9 }, combination: "linear" });
  const [[, layer]] = adaptedLayers(made);
  const values = async (name: string, factor: "loraA" | "loraB") =>
    (await layer.adapters.get(name)?.[factor].toArray()) ?? [];
  const [aA, bA, aB, bB] = [
    await values("a", "loraA"),
    await values("b", "loraA"),
    await values("a", "loraB"),
    await values("b", "loraB"),
  ];
  expect(
    distance(
      await values("sum", "loraA"),
      Array.from(aA, (value, i) => 2 * value - 3 * bA[i]),
    ),
  ).toBeLessThan(1e-6);
  expect(
    distance(
      await values("sum", "loraB"),
      Array.from(aB, (value, i) => 2 * value + 3 * bB[i]),
    ),
  ).toBeLessThan(1e-6);
});

test("the configuration of a combination says ranks and scalings of 1 to every reader", () => {
  const made = adapted();
  addWeightedAdapter(made, { adapterName: "sum", weights: { part0: 1, part1: 1 } });
  const config = adapterConfig(made, "sum");
  expect([config.rank, config.alpha, config.useRslora, config.targetModules]).toEqual([
    2,
    2,
    false,
    ["0", "1"],
  ]);
  expect([...config.rankPattern]).toEqual([["1", 5]]);
  expect([...config.alphaPattern]).toEqual([["1", 5]]);
});

describe("refused", () => {
  test.each([
    [
      { adapterName: "x", weights: {} },
      "addWeightedAdapter: weights must name at least one adapter, got none.",
    ],
    [
      { adapterName: "x", weights: { no: 1 } },
      'addWeightedAdapter: the adapter must be one of "part0", "part1", got "no".',
    ],
    [
      { adapterName: "x", weights: { part0: Number.NaN } },
      'addWeightedAdapter: the weight of "part0" must be finite, got NaN.',
    ],
    [
      { adapterName: "x", weights: { part0: 1, part1: 1 }, combination: "linear" as const },
      'addWeightedAdapter: ranks must be equal for "linear", got 2, 3 at 1. Use "cat".',
    ],
    [
      { adapterName: "part0", weights: { part1: 1 } },
      'addWeightedAdapter: the adapter\'s name must be new, but the model has one called "part0". Pass another adapterName, or call deleteAdapter first.',
    ],
  ])("%j", (options, message) => {
    const at = message.indexOf(": ");
    expect(() => addWeightedAdapter(adapted(), options)).toThrow(
      new LoraError(message.slice(0, at), message.slice(at + 2)),
    );
  });
});
