import { AdamW, type CausalLM, clipGradNorm, schedule } from "@graft/nn";
import { crossEntropy, fromArray, openCpu, scope, slice, type Tensor } from "@graft/tensor";
import { describe, expect, test } from "vitest";
import { adapterTensors, loadAdapter } from "../src/index.ts";
import {
  distance,
  type GoldenTensor,
  goldenFolder,
  goldenJson,
  goldenModel,
  goldenTensors,
} from "./golden.ts";

interface Run {
  readonly steps: number;
  readonly warmupSteps: number;
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly maxGradNorm: number;
  readonly betas: [number, number];
  readonly eps: number;
  readonly trainable: number;
  readonly trajectory: {
    step: number;
    rows: number[];
    loss: number;
    gradNorm: number;
    learningRate: number;
  }[];
}

const device = openCpu();

function rowsOf(tensor: GoldenTensor | undefined, rows: readonly number[]): Tensor {
  if (tensor === undefined) throw new Error("missing in the golden file");
  const length = tensor.shape[1];
  const picked = rows.flatMap((row) => [...tensor.values.slice(row * length, (row + 1) * length)]);
  return fromArray(device, picked, [rows.length, length], { dtype: "i32" });
}

describe.each(["all-linear", "patterns"])(
  "twenty AdamW steps of %s, as PEFT and torch make them",
  async (name) => {
    const run = (await goldenJson(`lora_training/${name}/run.json`)) as Run;
    const expected = await goldenTensors(`lora_training/${name}/expect.safetensors`);
    const rate = schedule("linear", { steps: run.steps, warmupSteps: run.warmupSteps });

    async function train(model: CausalLM): Promise<void> {
      model.train();
      const optimizer = new AdamW(model.namedParameters(), run);
      for (const { step, rows, loss, gradNorm, learningRate } of run.trajectory) {
        optimizer.learningRate = run.learningRate * rate(step - 1);
        expect(optimizer.learningRate).toBeCloseTo(learningRate, 12);
        const value = scope(() => {
          const logits = model.forward(rowsOf(expected.get("input_ids"), rows));
          const mean = crossEntropy(
            slice(logits, 1, 0, -1),
            slice(rowsOf(expected.get("labels"), rows), 1, 1),
          );
          mean.backward();
          return mean;
        });
        const norm = clipGradNorm(optimizer.parameters, run.maxGradNorm);
        expect(Math.abs((await value.item()) - loss) / loss).toBeLessThan(1e-4);
        expect(Math.abs((await norm.item()) - gradNorm) / gradNorm).toBeLessThan(1e-3);
        optimizer.step();
        optimizer.zeroGrad();
      }
    }

    async function logitsOf(model: CausalLM): Promise<ArrayLike<number>> {
      const ids = rowsOf(expected.get("input_ids"), [0, 1, 2, 3, 4, 5]);
      return scope(() => model.forward(ids).detach()).toArray();
    }

    test("losses, norms, the final factors and logits agree, and the base does not move", async () => {
      const model = await goldenModel("lora_training/base", device);
      const report = await loadAdapter(model, goldenFolder(`lora_training/${name}/start`), {
        isTrainable: true,
      });
      expect(report.trainable).toBe(run.trainable);
      const base = [...model.namedParameters()].filter(([path]) => !path.includes(".lora"));
      const before = await Promise.all(base.map(([, parameter]) => parameter.toBits()));
      expect(distance(await logitsOf(model), expected.get("start_logits")?.values ?? [])).toBeLessThan(2e-5);

      await train(model);

      const final = await goldenTensors(`lora_training/${name}/final/adapter_model.safetensors`);
      const own = adapterTensors(model);
      expect([...own.keys()].sort()).toEqual([...final.keys()].sort());
      for (const [key, { values }] of final)
        expect(distance((await own.get(key)?.toArray()) ?? [], values)).toBeLessThan(1e-3);
      model.eval();
      const got = await logitsOf(model);
      expect(distance(got, expected.get("final_logits")?.values ?? [])).toBeLessThan(1e-3);
      // The control: training has moved them by more than that.
      expect(distance(got, expected.get("start_logits")?.values ?? [])).toBeGreaterThan(0.1);
      expect(await Promise.all(base.map(([, parameter]) => parameter.toBits()))).toEqual(before);
    });
  },
);
