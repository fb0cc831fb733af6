// Losing the GPU in the middle of training changes nothing but the time it takes.
import { fileURLToPath } from "node:url";
import { injectLora } from "@graft/lora";
import { AdamW, type CausalLM, clipGradNorm } from "@graft/nn";
import {
  type Device,
  DeviceLostError,
  Generator,
  type GpuDevice,
  mul,
  openCpu,
  openScope,
  scope,
} from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { afterAll, describe, expect, test } from "vitest";
import { makeBatch, type StepBatches } from "../src/dataset/batching.ts";
import { openModel } from "../src/model/open.ts";
import { lossSum } from "../src/train/loss.ts";
import { TrainingSnapshot, trainResumably } from "../src/train/resume.ts";
import { TrainingStep } from "../src/train/step.ts";

const llama = fileURLToPath(new URL("../../../tools/golden/data/models/llama", import.meta.url));
const ids = [5, 17, 3, 44, 9, 21, 60, 2, 33, 8, 12];

interface Parts extends Disposable {
  readonly device: Device;
  readonly model: CausalLM;
  readonly optimizer: AdamW;
  readonly generators: readonly Generator[];
  readonly replayed: TrainingStep;
}

/** LoRA with dropout on a tiny Llama. */
async function parts(device: Device, close: () => void = () => {}): Promise<Parts> {
  await using opened = await openModel(llama);
  const model = await opened.load(device);
  const generator = new Generator(3);
  injectLora(model, { rank: 2, alpha: 4, dropout: 0.2, targetModules: "all-linear" }, { generator });
  model.train();
  const optimizer = new AdamW(model.namedParameters(), { learningRate: 1e-2 });
  const replayed = new TrainingStep(model, optimizer, 1);
  return {
    device,
    model,
    optimizer,
    replayed,
    generators: [generator],
    [Symbol.dispose]() {
      replayed[Symbol.dispose]();
      optimizer.dispose();
      close();
    },
  };
}

/** The rows of a step follow from its number. */
function batchesOf(step: number): StepBatches {
  const turned = [...ids.slice(step % 5), ...ids.slice(0, step % 5)];
  const batch = makeBatch([{ inputIds: turned, labels: turned }]);
  return { batches: [batch], targets: batch.targets };
}

/** One step op by op; its loss and gradient norm. */
async function eager({ model, optimizer }: Parts, step: number): Promise<[loss: number, norm: number]> {
  using _all = openScope();
  const [batch] = batchesOf(step).batches;
  const loss = scope(() => {
    const mean = mul(lossSum(model, batch), 1 / batch.targets);
    mean.backward();
    return mean.detach();
  });
  const norm = clipGradNorm(optimizer.parameters, 1);
  const read = await Promise.all([loss.item(), norm.item()]);
  optimizer.step();
  optimizer.zeroGrad();
  return read;
}

/** The step that `graft finetune` replays. */
async function compiled({ replayed }: Parts, step: number): Promise<[loss: number, norm: number]> {
  const { loss, gradNorm } = await replayed.run(batchesOf(step));
  return [loss, gradNorm];
}

const steps = 4;
const valuesOf = async ({ model }: Parts): Promise<number[][]> =>
  Promise.all(
    [...model.namedParameters()]
      .filter(([, { requiresGrad }]) => requiresGrad)
      .map(async ([, parameter]) => [...(await parameter.toArray())]),
  );

/** Short submits, so that a step has several places to be lost at. */
const openGpu = (dispatches: number): Promise<GpuDevice> =>
  openWebGpu({ flush: { dispatches, bytes: 1e12 } });

/** Calls `before` with the number of each submit, from 0, before and after it happens. */
function watchSubmits({ gpu }: GpuDevice, on: (submit: number, when: "before" | "after") => void): void {
  const real = gpu.queue.submit.bind(gpu.queue);
  let submits = 0;
  gpu.queue.submit = (commands) => {
    on(submits, "before");
    real(commands);
    on(submits++, "after");
    return undefined;
  };
}

describe.each([
  ["eager", eager, 48, ["after"]],
  ["compiled", compiled, 24, ["before", "after"]],
] as const)("%s training that loses its device", async (_, run, dispatches, whens) => {
  const losses: number[][] = [];
  /** Submits that were made when each step began, and at the end of all. */
  const begins: number[] = [];
  const device = await openGpu(dispatches);
  let submits = 0;
  watchSubmits(device, (__, when) => {
    if (when === "after") submits++;
  });
  const { parts: whole } = await trainResumably(
    () => parts(device),
    (state, step) => {
      begins.push(submits);
      return run(state, step);
    },
    { steps, snapshotEvery: 2, onStep: (__, result) => void losses.push(result) },
  );
  begins.push(submits);
  const expected = await valuesOf(whole);
  afterAll(() => device.close());

  test("without a loss, every step is told once, and it learns", () => {
    expect(losses).toHaveLength(steps);
    expect(new Set(losses.flat()).size).toBe(2 * steps);
    expect(begins[4] - begins[3]).toBeGreaterThan(4);
  });

  test.each(whens)(
    "is resumed to the same bits, whichever submit of a step it is lost %s",
    async (lostWhen) => {
      // In the last step, so that the one before it is done again too.
      for (let at = begins[3]; at < begins[4]; at++) {
        const told: number[][] = [];
        const resumed: number[] = [];
        let opened = 0;
        const { parts: ended } = await trainResumably(
          async () => {
            if (opened++ > 0) return parts(device); // its pipelines are there already
            const first = await openGpu(dispatches);
            watchSubmits(first, (submit, when) => {
              if (submit === at && when === lostWhen) first.gpu.destroy();
            });
            return parts(first);
          },
          run,
          {
            steps,
            snapshotEvery: 2,
            onStep: (__, result) => void told.push(result),
            onLoss: (error, step) => {
              expect(error).toBeInstanceOf(DeviceLostError);
              resumed.push(step);
            },
          },
        );
        expect(resumed).toEqual([2]);
        expect(opened).toBe(2);
        expect(told).toEqual(losses);
        expect(await valuesOf(ended)).toEqual(expected);
      }
    },
    120_000,
  );

  test("a snapshot of other steps would be seen: a generator or moments that are not restored change the bits", async () => {
    for (const left of ["generators", "moments"] as const) {
      const first = await parts(device);
      for (let step = 0; step < 2; step++) await run(first, step);
      using snapshot = await TrainingSnapshot.take(first);
      const second = await parts(device);
      const { optimizer } = second;
      await snapshot.restore(second);
      if (left === "generators") second.generators[0].count = 0;
      else await optimizer.loadState({ ...new AdamW(second.model.namedParameters()).state(), step: 2 });
      const told = [await run(second, 2), await run(second, 3)];
      expect(told).not.toEqual(losses.slice(2));
    }
  });
});

test("a device that is lost again and again is given up, with the error", async () => {
  let opened = 0;
  let closed = 0;
  const failing = trainResumably(
    async () => {
      opened++;
      return parts(openCpu(), () => closed++);
    },
    async () => {
      throw new DeviceLostError("the cable");
    },
    { steps: 1, maxLosses: 2 },
  );
  await expect(failing).rejects.toThrow(
    "webgpu: the device was lost (the cable). Open another one and go on from the last snapshot.",
  );
  expect([opened, closed]).toEqual([3, 3]);
});

test("another error ends training at once", async () => {
  let opened = 0;
  const failing = trainResumably(
    async () => {
      opened++;
      return parts(openCpu());
    },
    async () => {
      throw new RangeError("no rows");
    },
    { steps: 1 },
  );
  await expect(failing).rejects.toThrow("no rows");
  expect(opened).toBe(1);
});

test("a snapshot fits only what it was taken of", async () => {
  const from = await parts(openCpu());
  using snapshot = await TrainingSnapshot.take(from);
  const other = await parts(openCpu());
  await expect(snapshot.restore({ ...other, generators: [] })).rejects.toThrow(
    "restore: there must be 1 generators as in the snapshot, got 0.",
  );
  other.model.unfreeze();
  await expect(snapshot.restore(other)).rejects.toThrow(
    /^restore: the snapshot must hold all parameters that train, got none for .*model\.embed_tokens\.weight/,
  );
});
