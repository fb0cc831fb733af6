import { AdamW, LlamaForCausalLM } from "@graft/nn";
import {
  compile,
  crossEntropy,
  fromArray,
  Generator,
  keep,
  openCpu,
  openScope,
  reshape,
  scope,
  type Tensor,
} from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";
import { deleteAdapter, injectLora, mergeLora, setAdapter, unmergeLora } from "../src/index.ts";

const VOCAB = 40;
const LENGTH = 12;
const host = openCpu();

const { cpu, gpu } = await testDevices();

describe.each([cpu, gpu])("on $name", (device) => {
  const idsOf = (seed: number): Tensor =>
    fromArray(
      device,
      Array.from({ length: LENGTH }, (_, i) => (i * (2 * seed + 1) + seed) % VOCAB),
      [1, LENGTH],
      { dtype: "i32" },
    );

  /** Losses and parameters of everything that is done to a model between the steps of several trainers. */
  async function run(isCompiled: boolean): Promise<number[]> {
    using _ = openScope();
    const seen: number[] = [];
    const note = async (loss: Tensor) => seen.push(await loss.item());
    const model = new LlamaForCausalLM(
      {
        modelType: "llama",
        vocabSize: VOCAB,
        hiddenSize: 24,
        intermediateSize: 40,
        numHiddenLayers: 2,
        numAttentionHeads: 3,
        numKeyValueHeads: 1,
        headDim: 8,
        rmsNormEps: 1e-5,
        ropeTheta: 10000,
        tieWordEmbeddings: true,
        hiddenAct: "silu",
      } as ConstructorParameters<typeof LlamaForCausalLM>[0], // every other field has a meaning when it is missing
      { device, generator: new Generator(3) },
    );
    const generator = new Generator(9);
    for (const adapterName of ["b", "a"])
      injectLora(model, { rank: 4, alpha: 8, targetModules: "all-linear", dropout: 0.1 }, { generator, adapterName }); // biome-ignore format: one call
    const trained = () => [...model.namedParameters()].filter(([, { requiresGrad }]) => requiresGrad);
    const lossOf = (ids: Tensor): Tensor =>
      crossEntropy(reshape(model.forward(ids), [LENGTH, VOCAB]), reshape(ids, [LENGTH]));
    const evaluation = compile((ids: Tensor) => scope(() => lossOf(ids).detach()), { fuse: false });
    const evaluate = (seed: number): Tensor =>
      isCompiled ? evaluation(idsOf(seed)) : scope(() => lossOf(idsOf(seed)).detach());
    /** Two optimisers, each of every second parameter that trains now. */
    const trainer = () => {
      const halves = [0, 1].map((half) => trained().filter((__, i) => i % 2 === half));
      const optimizers = halves.map((half) => new AdamW(half, { learningRate: 1e-2 }));
      const body = (ids: Tensor): Tensor =>
        scope(() => {
          const loss = lossOf(ids);
          loss.backward();
          for (const optimizer of optimizers) {
            optimizer.step();
            optimizer.zeroGrad();
          }
          return loss.detach();
        });
      const compiled = compile(body, { fuse: false });
      return {
        step: (seed: number): Tensor => (isCompiled ? compiled : body)(idsOf(seed)),
        [Symbol.dispose]: () => {
          compiled.dispose();
          for (const optimizer of optimizers) optimizer.dispose();
        },
      };
    };

    setAdapter(model, "a");
    using one = trainer();
    for (const seed of [0, 1, 2]) {
      await note(one.step(seed));
      await note(evaluate(1));
    }
    setAdapter(model, ["a", "b"]);
    {
      using both = trainer();
      for (const seed of [0, 1, 2]) {
        await note(both.step(seed));
        await note(evaluate(2));
      }
    }
    setAdapter(model, "a");
    await note(one.step(4));
    const saved = new Map<string, Tensor>();
    for (const [name, parameter] of model.namedParameters()) saved.set(name, keep(await parameter.to(host)));
    await mergeLora(model);
    model.eval();
    await note(evaluate(3));
    await unmergeLora(model);
    model.train();
    await note(one.step(5));
    await model.loadStateDict(saved);
    await note(evaluate(3));
    await deleteAdapter(model, "b");
    await note(one.step(6));
    await note(evaluate(3));
    {
      using late = trainer();
      await note(late.step(7));
    }
    for (const [, parameter] of trained()) seen.push(...(await parameter.toArray()));
    for (const tensor of saved.values()) tensor.dispose();
    evaluation.dispose();
    model.dispose();
    return seen;
  }

  test("compiled steps share a model with all that changes it, to the same bits", async () => {
    const before = device.memory().liveBytes;
    const eager = await run(false);
    expect(await run(true)).toEqual(eager);
    expect(device.memory().liveBytes).toBe(before);
  });
});
