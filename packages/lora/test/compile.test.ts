import { AdamW, LlamaForCausalLM, type Module } from "@graft/nn";
import {
  compile,
  crossEntropy,
  type Device,
  fromArray,
  Generator,
  grad,
  mean,
  openCpu,
  openScope,
  reshape,
  scope,
  square,
  type Tensor,
} from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  deleteAdapter,
  injectLora,
  LoraError,
  mergeAndUnload,
  mergeLora,
  removeLora,
  setAdapter,
  unmergeLora,
} from "../src/index.ts";

const VOCAB = 40;
const LENGTH = 12;

function modelOn(device: Device): LlamaForCausalLM {
  return new LlamaForCausalLM(
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
}

const idsOn = (device: Device, seed = 1): Tensor =>
  fromArray(
    device,
    Array.from({ length: LENGTH }, (_, i) => (i * (2 * seed + 1) + seed) % VOCAB),
    [1, LENGTH],
    { dtype: "i32" },
  );

const { all } = await testDevices();

describe.each(all)("a LoRA step on $name", (device) => {
  /** Losses of five steps with dropout, eager or compiled, and the plan's figures. */
  async function train(mode: "eager" | "plain" | "fused"): Promise<{ losses: number[]; traces: number }> {
    using _ = openScope();
    const model = modelOn(device);
    const generator = new Generator(9);
    injectLora(
      model,
      { rank: 4, alpha: 8, targetModules: "all-linear", dropout: 0.1 },
      { generator, adapterName: "a" },
    );
    const optimizer = new AdamW(model.namedParameters(), { learningRate: 1e-2 });
    const body = (ids: Tensor): Tensor =>
      scope(() => {
        const loss = crossEntropy(reshape(model.forward(ids), [LENGTH, VOCAB]), reshape(ids, [LENGTH]));
        loss.backward();
        optimizer.step();
        optimizer.zeroGrad();
        return loss;
      });
    const step = compile(body, { fuse: mode === "fused" });
    const losses: number[] = [];
    for (let i = 0; i < 5; i++) {
      optimizer.learningRate = 1e-2 / (i + 1);
      const loss = mode === "eager" ? body(idsOn(device, i)) : step(idsOn(device, i));
      losses.push(await loss.item());
    }
    const { traces } = step;
    step.dispose();
    optimizer.dispose();
    model.dispose();
    return { losses, traces };
  }

  test("gives the same bits compiled without fusion", async () => {
    const eager = await train("eager");
    expect(await train("plain")).toEqual({ losses: eager.losses, traces: 1 });
  });

  // Fusion keeps a value in a register that was stored in between, and adds up products in another order: roundings
  // of single values, which after five steps stay below 1e-5 of the loss.
  test("gives the same losses with fusion", async () => {
    const eager = await train("eager");
    const fused = await train("fused");
    fused.losses.forEach((loss, i) => {
      expect(Math.abs(loss / eager.losses[i] - 1)).toBeLessThan(1e-5);
    });
    // The control: a step more is farther off than that.
    expect(Math.abs(fused.losses[1] / fused.losses[0] - 1)).toBeGreaterThan(1e-5);
  });
});

describe("no stale program", () => {
  const device = openCpu();
  const actions: Readonly<Record<string, (model: Module) => unknown>> = {
    train: (model) => model.train(),
    eval: (model) => model.eval(),
    a: (model) => setAdapter(model, "a"),
    b: (model) => setAdapter(model, "b"),
    both: (model) => setAdapter(model, ["a", "b"]),
    none: (model) => setAdapter(model, []),
    merge: (model) => mergeLora(model),
    unmerge: (model) => unmergeLora(model),
    freeze: (model) => model.freeze(),
    delete: (model) => deleteAdapter(model, "b"),
    remove: (model) => removeLora(model),
    unload: (model) => mergeAndUnload(model),
    inject: (model) =>
      injectLora(
        model,
        { rank: 2, alpha: 4, targetModules: ["q_proj", "up_proj"], initLoraWeights: "gaussian" },
        { generator: new Generator(5), adapterName: "b" },
      ),
    scale: (model) => {
      for (const [, module] of model.namedModules()) if ("scaling" in module) module.scaling = 0.5;
    },
  };

  test("after any sequence of changes the step does what it does uncompiled", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...Object.keys(actions)), { minLength: 1, maxLength: 12 }),
        async (names) => {
          using _ = openScope();
          const model = modelOn(device);
          const generator = new Generator(2);
          for (const adapterName of ["b", "a"])
            injectLora(
              model,
              { rank: 2, alpha: 4, targetModules: ["v_proj", "down_proj"], dropout: 0.2 },
              { generator, adapterName },
            );
          for (const [, parameter] of model.namedParameters()) if (parameter.shape[1] === 2) fill(parameter);
          const body = (input: Tensor): Tensor[] =>
            scope(() => {
              const logits = model.forward(input);
              const trained = model.parameters().filter((parameter) => parameter.requiresGrad);
              if (trained.length === 0 || !logits.requiresGrad) return [logits];
              const gradients = grad(mean(square(logits)), trained, { allowUnused: true });
              return [logits, ...gradients.flatMap((gradient) => gradient ?? [])];
            });
          const step = compile(body, { fuse: false });
          const ids = idsOn(device);
          for (const name of ["train", ...names]) {
            try {
              await actions[name](model);
            } catch (error) {
              // What cannot be done now (no adapter left, merged twice) is refused and has changed nothing.
              if (!(error instanceof LoraError)) throw error;
            }
            const before = generator.count;
            const expected = await valuesOf(body(ids));
            generator.count = before;
            expect(await valuesOf(step(ids)), name).toEqual(expected);
          }
          step.dispose();
          model.dispose();
        },
      ),
      { numRuns: 12 },
    );
  });

  function fill(parameter: Tensor): void {
    device.upload(
      parameter.storage,
      Float32Array.from({ length: parameter.size }, (_, i) => Math.sin(i + 1)),
    );
  }

  async function valuesOf(tensors: readonly Tensor[]): Promise<unknown[]> {
    return Promise.all(tensors.map((tensor) => tensor.toArray()));
  }
});
