import type { LinearLike, TensorModule } from "@graft/nn";
import { AdamW, isLinearLike, type Module } from "@graft/nn";
import {
  fromArray,
  Generator,
  mean,
  noGrad,
  normal,
  openCpu,
  scope,
  square,
  sub,
  type Tensor,
} from "@graft/tensor";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  adaptedLayers,
  adapterTensors,
  deleteAdapter,
  disableAdapters,
  injectLora,
  type LoraOptions,
  mergeAndUnload,
  mergeLora,
  removeLora,
  setAdapter,
  trainableSummary,
  unmergeLora,
} from "../src/index.ts";
import { distance } from "./golden.ts";
import { inputWidth, type Kind, kinds } from "./kinds.ts";

const device = openCpu();
const runs = { numRuns: 8 };

const shape = fc.record({
  width: fc.integer({ min: 2, max: 4 }).map((half) => 2 * half),
  rank: fc.integer({ min: 1, max: 5 }),
  alpha: fc.constantFrom(1, 4, 7.5),
  useRslora: fc.boolean(),
  seed: fc.integer({ min: 0, max: 2 ** 31 }),
});
type Shape = typeof shape extends fc.Arbitrary<infer T> ? T : never;

function modelOf(kind: Kind, { width, seed }: Shape): { model: TensorModule; x: Tensor } {
  const model = kind.make(device, width, seed).eval();
  return { model, x: normal(device, new Generator(seed + 1).next(), [2, 3, inputWidth(kind, width)]) };
}

function optionsOf({ rank, alpha, useRslora }: Shape, more: LoraOptions = {}): LoraOptions {
  return { rank, alpha, useRslora, targetModules: "all-linear", ...more };
}

function inject(model: Module, given: Shape, more: LoraOptions = {}, adapterName = "default") {
  return injectLora(model, optionsOf(given, more), {
    generator: new Generator(given.seed + 2),
    adapterName,
    device,
  });
}

async function run(model: TensorModule, x: Tensor): Promise<ArrayLike<number>> {
  return scope(() => noGrad(() => model.forward(x).detach())).toArray();
}

async function weightsOf(model: Module): Promise<unknown[]> {
  const weights = [];
  for (const [path, module] of model.namedModules())
    if (isLinearLike(module))
      weights.push([path, module.constructor.name, await module.denseWeight().toBits()]);
  return weights;
}

describe.each(kinds)("on $name", (kind) => {
  const law = (name: string, check: (given: Shape) => Promise<void>): void =>
    test(name, () => fc.assert(fc.asyncProperty(shape, check), runs));

  law("an injection leaves the output as it is, and B takes gradients but A none", async (given) => {
    const { model, x } = modelOf(kind, given);
    const before = await run(model, x);
    inject(model, given);
    expect(await run(model, x)).toEqual(before);
    scope(() => mean(square(model.forward(x))).backward());
    for (const [key, tensor] of adapterTensors(model)) {
      const gradient = await tensor.grad?.toArray();
      expect(gradient?.some((value) => value !== 0)).toBe(key.includes("lora_B"));
    }
  });

  law("what is trained is rank · (inFeatures + outFeatures) of each layer", async (given) => {
    const { model } = modelOf(kind, given);
    const linears = [...model.namedModules()].map(([, module]) => module).filter(isLinearLike);
    const { total } = model.parameterCount();
    const report = inject(model, given);
    const expected = linears.reduce(
      (sum, layer) => sum + given.rank * (layer.inFeatures + layer.outFeatures),
      0,
    );
    expect(report.replaced).toHaveLength(kind.linears);
    expect(report.trainable).toBe(expected);
    expect(report.total).toBe(total + expected);
    expect(report.summary).toBe(trainableSummary(model));
  });

  law(
    "merged and unmerged give the same, and unmerging brings the old weights back bit for bit",
    async (given) => {
      const { model, x } = modelOf(kind, given);
      const plain = await run(model, x);
      inject(model, given, { initLoraWeights: false });
      const before = await weightsOf(model);
      const adapted = await run(model, x);
      expect(distance(adapted, plain)).toBeGreaterThan(1e-5);
      const { merged } = await mergeLora(model);
      expect(merged).toHaveLength(kind.linears);
      expect(distance(await run(model, x), adapted)).toBeLessThan(kind.coarse ? 0.3 : 1e-5);
      disableAdapters(model, () => undefined);
      unmergeLora(model);
      expect(await weightsOf(model)).toEqual(before);
      expect(await run(model, x)).toEqual(adapted);
    },
  );

  law("merging for good gives the merged model of plain layers", async (given) => {
    const { model, x } = modelOf(kind, given);
    const names = [...model.namedModules()].map(([path, module]) => [path, module.constructor.name]);
    const count = model.parameterCount().total;
    inject(model, given, { initLoraWeights: false });
    await mergeLora(model);
    const merged = await run(model, x);
    unmergeLora(model);
    await mergeAndUnload(model);
    expect([...model.namedModules()].map(([path, module]) => [path, module.constructor.name])).toEqual(names);
    expect(await run(model, x)).toEqual(merged);
    expect(model.parameterCount()).toEqual({ total: count, trainable: 0 });
  });

  law("removing gives the original model", async (given) => {
    const { model, x } = modelOf(kind, given);
    const before = {
      modules: [...model.namedModules()],
      names: [...model.stateDict().keys()],
      output: await run(model, x),
    };
    inject(model, given, { initLoraWeights: false });
    await mergeLora(model);
    removeLora(model);
    const after = [...model.namedModules()];
    expect(after.map(([path]) => path)).toEqual(before.modules.map(([path]) => path));
    expect(after.every(([, module], i) => module === before.modules[i][1])).toBe(true);
    expect([...model.stateDict().keys()]).toEqual(before.names);
    expect(await run(model, x)).toEqual(before.output);
  });

  law("training moves the factors and never the base", async (given) => {
    const { model, x } = modelOf(kind, given);
    inject(model, given, { dropout: 0.25, initLoraWeights: false });
    model.train();
    const base = model.parameters().filter((parameter) => !parameter.requiresGrad);
    const before = await Promise.all(base.map((parameter) => parameter.toBits()));
    const factors = await Promise.all([...adapterTensors(model).values()].map((factor) => factor.toArray()));
    const optimizer = new AdamW(model.namedParameters(), { learningRate: 0.1 });
    const target = fromArray(device, new Float32Array(x.size).fill(1), x.shape);
    for (let step = 0; step < 2; step++) {
      scope(() => mean(square(sub(model.forward(x), target))).backward());
      expect(base.every((parameter) => parameter.grad === undefined)).toBe(true);
      optimizer.step();
      optimizer.zeroGrad();
    }
    expect(await Promise.all(base.map((parameter) => parameter.toBits()))).toEqual(before);
    const now = await Promise.all([...adapterTensors(model).values()].map((factor) => factor.toArray()));
    for (const [i, factor] of now.entries()) expect(factor).not.toEqual(factors[i]);
  });

  law("switched off, merged or not, the model is the plain base", async (given) => {
    const { model, x } = modelOf(kind, given);
    const plain = await run(model, x);
    inject(model, given, { initLoraWeights: false });
    const off = (): Promise<ArrayLike<number>> =>
      disableAdapters(model, () =>
        disableAdapters(model, () => scope(() => noGrad(() => model.forward(x)))),
      ).toArray();
    expect(await off()).toEqual(plain);
    await mergeLora(model);
    expect(await off()).toEqual(plain);
    unmergeLora(model);
    setAdapter(model, []);
    expect(await run(model, x)).toEqual(plain);
    setAdapter(model, "default");
    expect(distance(await run(model, x), plain)).toBeGreaterThan(1e-5);
  });

  law("several adapters add up, one alone is itself, and deleting leaves the others", async (given) => {
    const { model, x } = modelOf(kind, given);
    inject(model, given, { initLoraWeights: false }, "one");
    const one = await run(model, x);
    inject(model, { ...given, rank: 2, seed: given.seed + 9 }, { initLoraWeights: false }, "two");
    const two = await run(model, x);
    setAdapter(model, ["one", "two"]);
    const both = await run(model, x);
    expect(distance(both, one)).toBeGreaterThan(1e-5);
    await mergeLora(model);
    expect(distance(await run(model, x), both)).toBeLessThan(kind.coarse ? 0.3 : 1e-5);
    unmergeLora(model);
    setAdapter(model, "one");
    expect(await run(model, x)).toEqual(one);
    deleteAdapter(model, "one");
    setAdapter(model, "two");
    expect(await run(model, x)).toEqual(two);
    deleteAdapter(model, "two");
    expect(adaptedLayers(model)).toEqual([]);
  });
});

const linear = kinds[0];

test("the update is linear in the scaling, and nothing at zero", () =>
  fc.assert(
    fc.asyncProperty(shape, async (given) => {
      const { model, x } = modelOf(linear, given);
      const [first] = model.namedChildren();
      inject(model, given, { initLoraWeights: false });
      const [[, layer]] = adaptedLayers(model);
      const adapter = layer.adapters.get("default");
      if (adapter === undefined) throw new Error("no adapter");
      const plain = await run(first[1] as LinearLike, x);
      const delta = await adapter.deltaWeight().toArray();
      adapter.scaling *= 2;
      expect(await adapter.deltaWeight().toArray()).toEqual(delta.map((value) => 2 * value));
      adapter.scaling = 0;
      expect(await run(layer, x)).toEqual(plain);
    }),
    runs,
  ));

test("an update of one layer is scaling · B · A", () =>
  fc.assert(
    fc.asyncProperty(shape, async (given) => {
      const { model } = modelOf(linear, given);
      inject(model, given, { initLoraWeights: false });
      const [[, layer]] = adaptedLayers(model);
      const adapter = layer.adapters.get("default");
      if (adapter === undefined) throw new Error("no adapter");
      const { rank, alpha, useRslora } = given;
      const [a, b] = [await adapter.loraA.toArray(), await adapter.loraB.toArray()];
      const [inFeatures, outFeatures] = [layer.inFeatures, layer.outFeatures];
      const expected = Array.from({ length: outFeatures * inFeatures }, (_, at) => {
        const [row, column] = [Math.floor(at / inFeatures), at % inFeatures];
        let sum = 0;
        for (let k = 0; k < rank; k++) sum += b[row * rank + k] * a[k * inFeatures + column];
        return (sum * alpha) / (useRslora ? Math.sqrt(rank) : rank);
      });
      expect(distance(await adapter.deltaWeight().toArray(), expected)).toBeLessThan(1e-5);
    }),
    runs,
  ));
