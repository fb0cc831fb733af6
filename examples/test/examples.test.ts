// Every example learns in a few steps, learns nothing at learning rate 0, and runs as a program of its own.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openModel } from "@graft/finetune";
import { loadAdapter } from "@graft/lora";
import { LlamaForCausalLM, llamaConfigFromHf } from "@graft/nn";
import { serializeSafetensors } from "@graft/nn/checkpoint";
import { folderOpener } from "@graft/nn/node";
import { crossEntropy, fromArray, Generator, noGrad, openCpu, scope } from "@graft/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { main as regression } from "../01-regression.ts";
import { main as charGpt } from "../02-char-gpt.ts";
import { main as mlpLora } from "../03-mlp-lora.ts";
import { main as finetune } from "../04-finetune.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const embedded = join(root, "packages/finetune/embedded");
const folder = mkdtempSync(join(tmpdir(), "graft-examples-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const quiet = { device: "cpu", log: () => {} } as const;
const last = (losses: readonly number[]) => losses[losses.length - 1];

describe("01-regression", () => {
  test.each(["cpu", "webgpu"] as const)("finds the line on %s", async (device) => {
    const { losses, weight, bias } = await regression({ ...quiet, device, steps: 40, learningRate: 0.1 });
    // The noise has variance 0.01; fitting three values to 64 points can only lower it a little.
    expect(last(losses)).toBeLessThan(0.02);
    expect(weight[0]).toBeCloseTo(2, 1);
    expect(weight[1]).toBeCloseTo(-3, 1);
    expect(bias).toBeCloseTo(1, 1);
  });

  test("does not without steps of some size", async () => {
    const { losses } = await regression({ ...quiet, steps: 3, learningRate: 0 });
    expect(new Set(losses).size).toBe(1);
    expect(losses[0]).toBeGreaterThan(1);
  });
});

describe("02-char-gpt", { timeout: 120_000 }, () => {
  test("lowers the loss of text that it has not seen", async () => {
    const { before, after, written } = await charGpt({ ...quiet, steps: 12, learningRate: 3e-3 });
    expect(after).toBeLessThan(before - 0.8);
    expect(written).toMatch(/^The whale .{54}$/s);
  });

  test("does not at learning rate 0", async () => {
    const { before, after } = await charGpt({ ...quiet, steps: 1, learningRate: 0 });
    expect(after).toBe(before);
  });

  test("is at most 100 lines", () => {
    const lines = readFileSync(new URL("../02-char-gpt.ts", import.meta.url), "utf8")
      .trimEnd()
      .split("\n");
    expect(lines.length).toBeLessThanOrEqual(100);
  });
});

describe("03-mlp-lora", () => {
  test("adapters learn the turned plane, and leave the base as it was", async () => {
    const { baseAccuracy, turnedAccuracy, total, byType, byName } = await mlpLora({
      ...quiet,
      steps: 120,
      learningRate: 0.02,
    });
    expect(baseAccuracy).toBeGreaterThan(0.9);
    expect(turnedAccuracy).toBeLessThan(0.7);
    expect(byType.replaced).toEqual(["0", "2", "4"]);
    expect(byType.trainable).toBe(4 * (2 + 32) + 4 * (32 + 32) + 4 * (32 + 2));
    expect(byName.replaced).toEqual(["0"]);
    expect(byName.trainable).toBe(4 * (2 + 32));
    expect(byType.trainable).toBeLessThan(total / 2);
    for (const adapted of [byType, byName]) {
      expect(last(adapted.losses)).toBeLessThan(adapted.losses[0]);
      expect(adapted.accuracy).toBeGreaterThan(turnedAccuracy + 0.2);
      // Merging rounds once more: a point on the border may change sides.
      expect(Math.abs(adapted.mergedAccuracy - adapted.accuracy)).toBeLessThanOrEqual(1 / 256);
      expect(adapted.unmergedAccuracy).toBe(adapted.accuracy);
      expect(adapted.restored).toBe(true);
    }
  });

  test("adapters that are not trained change nothing", async () => {
    const { turnedAccuracy, byType } = await mlpLora({ ...quiet, steps: 2, learningRate: 0 });
    expect(byType.accuracy).toBe(turnedAccuracy);
    expect(byType.mergedAccuracy).toBe(turnedAccuracy);
  });

  test("a step on the GPU is the step on the CPU", async () => {
    const [gpu, cpu] = [
      await mlpLora({ ...quiet, device: "webgpu", steps: 5, learningRate: 0.02 }),
      await mlpLora({ ...quiet, steps: 5, learningRate: 0.02 }),
    ];
    for (const [i, loss] of cpu.byType.losses.entries()) expect(gpu.byType.losses[i]).toBeCloseTo(loss, 4);
    expect(gpu.byType.restored).toBe(true);
  });
});

describe("04-finetune", { timeout: 120_000 }, () => {
  let model = embedded;
  beforeAll(async () => {
    if (!existsSync(join(embedded, "model.safetensors"))) model = await tinyModel();
  });

  test("lowers the loss, and its adapter gives that loss to a fresh model", async () => {
    const out = join(folder, "adapter");
    const { losses } = await finetune({ ...quiet, folder: model, out, steps: 4, learningRate: 5e-3 });
    await finetune({ ...quiet, folder: model, out, steps: 3, learningRate: 5e-3 });
    for (const [i, loss] of losses.slice(1).entries()) expect(loss).toBeLessThan(losses[i] - 1e-3);

    const device = openCpu();
    await using opened = await openModel(model);
    const fresh = await opened.load(device);
    const book = readFileSync(join(embedded, "demo/moby-dick.train.txt"), "utf8");
    const ids = (await opened.tokenizer()).encode(book);
    const tokens = (from: number) =>
      fromArray(device, ids.slice(from, from + 256), [4, 64], { dtype: "i32" });
    const lossNow = () => scope(() => noGrad(() => crossEntropy(fresh.forward(tokens(0)), tokens(1)))).item();
    expect(await lossNow()).toBeCloseTo(losses[0], 5);
    await loadAdapter(fresh, folderOpener(out));
    // What the fourth step saw is what three steps made.
    expect(await lossNow()).toBeCloseTo(last(losses), 5);
    device.close();
  });

  test("does not at learning rate 0", async () => {
    const out = join(folder, "nothing");
    const { losses } = await finetune({ ...quiet, folder: model, out, steps: 2, learningRate: 0 });
    expect(losses[1]).toBe(losses[0]);
  });

  test("its core is at most 20 statements", () => {
    const source = readFileSync(new URL("../04-finetune.ts", import.meta.url), "utf8");
    // From opening the device to writing the adapter, and closing.
    const core = source.slice(source.indexOf("  const device ="), source.indexOf("  log(`The adapter"));
    expect(core.match(/;$/gm)?.length).toBeLessThanOrEqual(20);
  });

  /** Random weights in the shape of the embedded model's tokenizer. */
  async function tinyModel(): Promise<string> {
    const golden = JSON.parse(readFileSync(join(root, "tools/golden/data/models/llama/config.json"), "utf8"));
    const config = { ...golden, vocab_size: 2048, max_position_embeddings: 256 };
    const device = openCpu();
    const made = new LlamaForCausalLM(llamaConfigFromHf(config), { device, generator: new Generator(7) });
    const tensors = [];
    for (const [name, parameter] of made.namedParameters()) {
      const bytes = new Uint8Array(Float32Array.from(await parameter.toArray()).buffer);
      tensors.push({ name, dtype: "F32", shape: parameter.shape, bytes } as const);
    }
    device.close();
    writeFileSync(join(folder, "config.json"), JSON.stringify(config));
    writeFileSync(join(folder, "model.safetensors"), serializeSafetensors(tensors));
    for (const name of ["tokenizer.json", "tokenizer_config.json"])
      writeFileSync(join(folder, name), readFileSync(join(embedded, name)));
    return folder;
  }
});

describe("as programs", { timeout: 120_000 }, () => {
  beforeAll(() => {
    // Takes half a second where nothing changed; `npm test` has built the packages before.
    execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-b", "examples"], {
      cwd: root,
    });
  });

  const run = (name: string, ...args: string[]) =>
    spawnSync(process.execPath, [join(root, "examples/dist", name), ...args], { encoding: "utf8" });

  test.each([
    ["01-regression.js", /^Fitting .*\nstep 1: .*\nstep 2: .*\nfound y = /],
    ["02-char-gpt.js", /\nstep 1: loss [\d.]+\n.*\nit writes: "The whale /],
    ["03-mlp-lora.js", /^base: 1218 parameters.*(\n.*bit for bit|\n.*){4}/],
  ])("%s says what it does", (name, expected) => {
    const { status, stdout, stderr } = run(name, "--steps", "2", "--device", "cpu");
    expect(stderr).toBe("");
    expect(stdout).toMatch(expected);
    expect(status).toBe(0);
  });

  test("a device or number of steps that cannot be is refused", () => {
    expect(run("01-regression.js", "--device", "tpu").stderr).toMatch(
      /--device must be cpu or webgpu, got tpu/,
    );
    expect(run("01-regression.js", "--steps", "0").stderr).toMatch(
      /--steps must be a whole number from 1, got 0/,
    );
  });
});
