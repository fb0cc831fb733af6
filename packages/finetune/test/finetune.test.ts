import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  changedModel,
  failure,
  golden,
  graft,
  graftUntil,
  jsonl,
  readTensors,
  temporaryFolder,
} from "./graft.ts";

const folder = temporaryFolder();
const model = golden("lora_training/base");
const data = golden("lora_training/train.jsonl");
const cpu = ["--device", "cpu", "--json"];
const base = ["finetune", "--model", model, "--data", data, ...cpu];
let runs = 0;
const freshOut = () => join(folder, `out-${runs++}`);
const stepsOf = ({ lines }: { lines: Record<string, unknown>[] }) =>
  lines.filter(({ event }) => event === "step");

/** Loss of an adapter, or of the model alone, on the training rows; fails where it cannot be read or is not finite. */
async function lossOf(adapter?: string, of = model): Promise<number> {
  const more = adapter === undefined ? [] : ["--adapter", adapter];
  const { code, lines } = await graft("eval", "--model", of, "--data", data, ...more, ...cpu);
  expect(code).toBe(0);
  return Number(lines[0].loss);
}

const adapterBytes = (out: string) => readFileSync(join(out, "adapter_model.safetensors"));

describe("finetune", () => {
  test.each(["all-linear", "patterns"])("repeats PEFT and torch step by step: %s", async (name) => {
    const run = JSON.parse(readFileSync(golden(`lora_training/${name}/run.json`), "utf8"));
    const out = freshOut();
    const ended = await graft(
      ...base,
      ...["--adapter", golden(`lora_training/${name}/start`), "--out", out, "--no-shuffle"],
      ...["--steps", "20", "--batch-size", "2", "--learning-rate", "5e-3", "--schedule", "linear"],
      ...["--warmup-steps", "3", "--weight-decay", "0.01", "--max-grad-norm", "1"],
    );
    expect(ended.code).toBe(0);
    expect(ended.lines[0]).toMatchObject({ event: "start", trainable: run.trainable, steps: 20 });
    const steps = stepsOf(ended);
    expect(steps).toHaveLength(20);
    let worst = 0;
    for (const [i, expected] of run.trajectory.entries()) {
      for (const key of ["loss", "gradNorm", "learningRate"]) {
        const difference = Math.abs(Number(steps[i][key]) - expected[key]);
        worst = Math.max(worst, difference / Math.max(Math.abs(expected[key]), 1e-9));
      }
    }
    expect(worst).toBeLessThan(1e-4);
    const final = await lossOf(golden(`lora_training/${name}/final`));
    expect(Math.abs((await lossOf(out)) - final)).toBeLessThan(1e-5);
  });

  test("the events and their keys", async () => {
    const out = freshOut();
    const { code, lines, err } = await graft(...base, "--out", out, "--steps", "2", "--eval-data", data);
    expect(code).toBe(0);
    expect(lines.map(({ event }) => event)).toEqual(["start", "eval", "step", "step", "eval", "done"]);
    expect(lines.map((line) => Object.keys(line).join())).toEqual([
      "event,trainable,total,device,steps",
      "event,step,loss,perplexity",
      "event,step,loss,gradNorm,learningRate,tokens,tokensPerSecond",
      "event,step,loss,gradNorm,learningRate,tokens,tokensPerSecond",
      "event,step,loss,perplexity",
      "event,steps,loss,out",
    ]);
    expect(lines[1]).toMatchObject({ step: 0, loss: await lossOf() });
    expect(lines[4]).toMatchObject({ step: 2, loss: await lossOf(out) });
    expect(lines[5]).toMatchObject({ steps: 2, loss: lines[3].loss, out });
    expect(readdirSync(out).sort()).toEqual(["adapter_config.json", "adapter_model.safetensors"]);
    expect(err).toMatch(/^trainable params: /);
  });

  test("counts what is trained", async () => {
    const start = async (...words: string[]) =>
      (await graft(...base, "--out", freshOut(), "--steps", "1", ...words)).lines[0];
    const run = JSON.parse(readFileSync(golden("lora_training/all-linear/run.json"), "utf8"));
    const all = await start("--rank", "4", "--target", "all-linear");
    expect(all.trainable).toBe(run.trainable);
    const full = await start("--full");
    expect(full.trainable).toBe(full.total);
    expect(all.total).toBe(Number(full.total) + run.trainable);
  });

  test("--full writes a model that is better than the one it began with", async () => {
    const out = freshOut();
    const ended = await graft(...base, "--out", out, "--full", "--epochs", "2", "--learning-rate", "1e-2");
    expect(ended.code).toBe(0);
    expect(stepsOf(ended)).toHaveLength(12);
    expect(readdirSync(out)).toEqual(expect.arrayContaining(["config.json", "model.safetensors"]));
    expect(await lossOf(undefined, out)).toBeLessThan(await lossOf());
  });

  test("--adapter goes on where a run ended", async () => {
    const [first, second] = [freshOut(), freshOut()];
    const options = ["--no-shuffle", "--learning-rate", "1e-2", "--schedule", "constant"];
    await graft(...base, ...options, "--rank", "3", "--out", first, "--steps", "6");
    const ended = await graft(...base, ...options, "--adapter", first, "--out", second, "--steps", "1");
    const again = await graft(...base, ...options, "--rank", "3", "--out", freshOut(), "--steps", "7");
    // The seventh step of the longer run uses the first row again, with the weights that the first run wrote.
    expect(stepsOf(ended)[0].loss).toBeCloseTo(Number(stepsOf(again)[6].loss), 6);
    expect(JSON.parse(readFileSync(join(second, "adapter_config.json"), "utf8"))).toMatchObject({ r: 3 });
  });

  test("the seed fixes the run, another seed changes it, and shuffling changes the order", async () => {
    const losses = async (rate: string, ...words: string[]) => {
      const out = freshOut();
      const ended = await graft(...base, "--out", out, "--learning-rate", rate, ...words);
      return { losses: stepsOf(ended).map(({ loss }) => loss), bytes: adapterBytes(out) };
    };
    const one = await losses("1e-2", "--seed", "1", "--dropout", "0.1");
    expect(await losses("1e-2", "--seed", "1", "--dropout", "0.1")).toEqual(one);
    expect((await losses("1e-2", "--seed", "2", "--dropout", "0.1")).bytes).not.toEqual(one.bytes);
    const inOrder = await losses("0", "--seed", "1", "--no-shuffle");
    const shuffled = await losses("0", "--seed", "1");
    expect(shuffled.losses).not.toEqual(inOrder.losses);
    expect([...shuffled.losses].sort()).toEqual([...inOrder.losses].sort());
  });

  test("Ctrl-C ends after the step that runs and keeps the adapter", async () => {
    const out = freshOut();
    const ended = await graftUntil(
      '"step":3',
      ...base,
      "--out",
      out,
      "--steps",
      "1000",
      "--learning-rate=1e-2",
    );
    expect(ended.code).toBe(130);
    expect(stepsOf(ended)).toHaveLength(3);
    expect(ended.lines.at(-1)).toMatchObject({ event: "done", steps: 3, out });
    expect(await lossOf(out)).not.toBe(await lossOf());
  });

  test.each([
    ["1e30", "6", [], /the (loss|gradient norm) of step \d is not finite/],
    ["1e38", "6", [], /the loss of step 2 is not finite/],
    ["1e300", "1", [], /the update of step 1 gives parameters that are not finite/],
    ["1e30", "6", ["--full"], /the loss of step 2 is not finite/],
  ])(
    "a learning rate of %s over %s steps %j keeps the last good parameters",
    async (rate, steps, more, what) => {
      const out = freshOut();
      const options = ["--learning-rate", rate, "--steps", steps, "--schedule", "constant", ...more];
      const ended = await graft(...base, "--out", out, ...options);
      expect(ended.code).toBe(1);
      expect(ended.err).toMatch(what);
      expect(ended.err).toMatch(/as it was (before|after) step \d, the last with a finite loss, is in /);
      expect(ended.lines.at(-1)).not.toMatchObject({ event: "done" });
      expect(Number.isFinite(await (more.length > 0 ? lossOf(undefined, out) : lossOf(out)))).toBe(true);
      expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    },
  );

  test("weights that are no numbers fail at step 1 and leave nothing", async () => {
    const broken = await changedModel(model, join(folder, "broken"), {
      weight: (name, values) => {
        if (name === "model.norm.weight") values[0] = Number.NaN;
      },
    });
    const out = freshOut();
    const ended = await graft("finetune", "--model", broken, "--data", data, "--out", out, ...cpu);
    expect(ended).toMatchObject({ code: 1 });
    expect(ended.err).toContain(
      "graft: finetune: the loss of step 1 is not finite (NaN), so training stopped.",
    );
    expect(existsSync(out)).toBe(false);
  });

  test("an --out that is taken is refused before any work, and --force replaces it whole", async () => {
    const out = freshOut();
    mkdirSync(out);
    writeFileSync(join(out, "notes.txt"), "mine");
    expect(await failure(1, ...base, "--out", out)).toMatch(
      /must be empty or free, got a folder with 1 file\./,
    );
    expect(readFileSync(join(out, "notes.txt"), "utf8")).toBe("mine");
    expect((await graft(...base, "--out", out, "--steps", "1", "--force")).code).toBe(0);
    expect(readdirSync(out).sort()).toEqual(["adapter_config.json", "adapter_model.safetensors"]);
    expect(await failure(1, ...base, "--out", golden("lora_training"), "--force")).toContain(
      "must not replace what is read",
    );
    const [before, own] = [process.cwd(), join(folder, "own")];
    mkdirSync(own);
    process.chdir(own);
    try {
      expect(await failure(1, ...base, "--out", ".")).toContain("must not be the working or home folder");
    } finally {
      process.chdir(before);
    }
  });

  test("an output head that shares its weight with the embedding can be a target, as with PEFT", async () => {
    const tied = await changedModel(model, join(folder, "tied"), { config: { tie_word_embeddings: true } });
    const out = freshOut();
    const options = ["--target", "lm_head", "--steps", "3", "--learning-rate", "1e-2", "--out", out];
    const ended = await graft("finetune", "--model", tied, "--data", data, ...options, ...cpu);
    expect(ended.code).toBe(0);
    expect(await lossOf(out, tied)).toBeLessThan(await lossOf(undefined, tied));
  });

  test("an adapter that was started has the values that PEFT draws: A spread, B zero", async () => {
    const out = freshOut();
    await graft(...base, "--out", out, "--steps", "1", "--learning-rate", "0");
    for (const [name, { values }] of await readTensors(join(out, "adapter_model.safetensors"))) {
      expect(values.every((value) => value === 0)).toBe(name.includes("lora_B"));
    }
  });

  test("rows longer than the sequence length are cut, rows without a target left out, and both are said", async () => {
    const rows = jsonl(join(folder, "some.jsonl"), [
      { input_ids: [1, 2, 3, 4, 5] },
      { input_ids: [1] },
      { input_ids: [6, 7] },
    ]);
    const options = ["--sequence-length", "3", "--steps", "2", "--no-shuffle", "--out", freshOut()];
    const ended = await graft("finetune", "--model", model, "--data", rows, ...options, ...cpu);
    expect(stepsOf(ended).map(({ tokens }) => tokens)).toEqual([3, 2]);
    expect(ended.err).toMatch(/1 of 3 rows have no target and are left out/);
    expect(ended.err).toMatch(/1 of 3 rows are longer than 3 tokens and are cut there/);
  });
});
