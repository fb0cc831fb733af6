// The main job on a real model through the GPU device: SmolLM2-135M learns from speeches with LoRA. A software adapter
// needs seconds for a step of 40 GFLOP, so this is a large test.
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { graft, temporaryFolder } from "./graft.ts";
import { smollm2File } from "./smollm2.ts";

const corpus = new URL("../../../tools/base-model/corpus.mjs", import.meta.url).href;
const { speeches }: { speeches: (count: number) => string[] } = await import(/* @vite-ignore */ corpus);
const folder = temporaryFolder();
const data = join(folder, "speech.txt");
// Two windows of 64 tokens, seen five times: the loss falls by learning, not by the choice of text.
writeFileSync(data, speeches(1)[0].slice(0, 700));

test("the text is one of the speeches", () => {
  expect(speeches(1)[0].length).toBeGreaterThan(700);
});

if (smollm2File !== undefined) {
  const model = smollm2File;

  test("ten steps lower the loss of the text, and the adapter loads again", {
    timeout: 1_200_000,
  }, async () => {
    const out = join(folder, "adapter");
    const ended = await graft(
      ...["finetune", "--model", model, "--data", data, "--out", out, "--device", "webgpu", "--json"],
      ...["--steps", "10", "--sequence-length", "64", "--learning-rate", "2e-3", "--no-shuffle"],
    );
    expect(ended.code).toBe(0);
    const losses = ended.lines.filter(({ event }) => event === "step").map(({ loss }) => Number(loss));
    expect(losses).toHaveLength(10);
    expect(losses[8] + losses[9]).toBeLessThan(losses[0] + losses[1] - 0.5);
    expect(existsSync(join(out, "adapter_model.safetensors"))).toBe(true);

    const evalWords = [
      "eval",
      "--model",
      model,
      "--data",
      data,
      "--sequence-length",
      "64",
      "--device",
      "webgpu",
      "--json",
    ];
    const before = (await graft(...evalWords)).lines[0];
    const after = (await graft(...evalWords, "--adapter", out)).lines[0];
    expect(Number(after.loss)).toBeLessThan(Number(before.loss) - 0.2);
  });
}
